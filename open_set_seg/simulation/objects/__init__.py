"""What stands in a scene, each thing built of primitives from its own random stream."""
