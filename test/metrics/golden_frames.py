"""The two frames for which SegmentMeIfYouCan's and scikit-learn's figures are recorded."""

import numpy as np


def golden_frames(dtype):
    for frame in (0, 1):
        row, column = np.mgrid[:120, :200]
        label = np.zeros((120, 200), np.uint8)
        label[30:70, 40:90] = 1
        label[90:105, 150:170] = 1
        label[10:14, 10:18] = 1
        if frame == 1:
            label[60:64, 100:104] = 1
        label[:5] = 255
        label[:, 195:] = 255
        score = 0.5 * ((7 * row + 13 * column + 17 * frame) % 101) / 101
        score[34 + frame : 74 + frame, 44:96] += 0.45
        score[88:101, 148:161] += 0.40
        score[95:111, 20:40] += 0.48
        score[50:55, 120:130] += 0.48
        yield score.astype(dtype), label
