"""Topic names of our recordings: a camera's at the root, the detector's under its name."""

IMAGE = "/image"
CAMERA_INFO = "/camera_info"
RIGHT_IMAGE = "/right/image"
RIGHT_CAMERA_INFO = "/right/camera_info"
DISPARITY = "/disparity"
INPUTS = (IMAGE, CAMERA_INFO, RIGHT_IMAGE, RIGHT_CAMERA_INFO, DISPARITY)

TF_STATIC = "/tf_static"
# What a data set knows beside what its cameras saw; see ``open_set_seg.bags.conversion``.
GROUND_TRUTH = "/ground_truth/labels"
DATASET_INFO = "/dataset/info"
DATASET_FRAME = "/dataset/frame_id"
LATCHED = (TF_STATIC, DATASET_INFO)

SEGMENTATION = "/detector/segmentation"
ANOMALY = "/detector/anomaly"
OVERLAY = "/detector/overlay"
OBSTACLE_LIST = "/detector/obstacles/list"
VISIBILITY = "/detector/visibility"
