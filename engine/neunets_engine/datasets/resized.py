"""Images that came as arrays, in the size that the user wants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from neunets.errors import InvalidRequest
from neunets.images import resized_array
from neunets.preprocessing import Fit, Preprocessing
from neunets_engine.datasets.sizes import Size, resizing_told, size_features
from neunets_engine.datasets.source import Array, Examples, Source, rows_a_block

__all__ = ["in_size"]


def in_size(source: Source, size: Size | None, fit: Fit) -> Source:
    """`source` with its arrays of images resized, and with what is done to an image file that is asked about later.

    Images that came as files have their size already. Raises: InvalidRequest for a size of sequences.
    """
    if source.preprocessing is not None:
        return source
    if len(source.train.shape) != 3:
        if size is not None:
            raise InvalidRequest("image_size", "the data are sequences, which have no height and width: leave it out")
        return source
    height, width, channels = source.train.shape
    size = size or Size(height, width)
    wanted = Preprocessing(size.height, size.width, channels, fit)
    if wanted.shape == source.train.shape:
        return replace(source, preprocessing=wanted)
    rows, sizes = len(source.train.y) + (0 if source.test is None else len(source.test.y)), np.array([(width, height)])
    return replace(
        source,
        train=_examples(source.train, wanted),
        test=None if source.test is None else _examples(source.test, wanted),
        warnings=source.warnings + resizing_told(sizes, rows, wanted),
        meta_features={**size_features(sizes), **source.meta_features},
        preprocessing=wanted,
        resized=rows,
    )


def _examples(examples: Examples, wanted: Preprocessing) -> Examples:
    rows = rows_a_block(wanted.shape, np.dtype(np.uint8))

    def blocks() -> Iterator[Array]:
        for block in examples.blocks():
            for begin in range(0, len(block), rows):
                yield np.stack([resized_array(image, wanted) for image in block[begin : begin + rows]])

    return replace(examples, shape=wanted.shape, blocks=blocks)
