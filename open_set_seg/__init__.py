"""Open-set road segmentation and obstacle detection for robots.

The runtime package: everything the robot and the desk need. Code outside ``open_set_seg.ros``
never imports rclpy, so the same pipeline runs from a topic, a bag or a folder of files.
"""

__version__ = "0.1.0"
