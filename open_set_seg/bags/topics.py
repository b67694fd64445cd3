"""Topic names of the demo's recordings: a camera's at the root, the detector's under its name."""

IMAGE = "/image"
CAMERA_INFO = "/camera_info"
RIGHT_IMAGE = "/right/image"
RIGHT_CAMERA_INFO = "/right/camera_info"
DISPARITY = "/disparity"
INPUTS = (IMAGE, CAMERA_INFO, RIGHT_IMAGE, RIGHT_CAMERA_INFO, DISPARITY)

SEGMENTATION = "/detector/segmentation"
ANOMALY = "/detector/anomaly"
OVERLAY = "/detector/overlay"
OBSTACLE_LIST = "/detector/obstacles/list"
