"""What the values of an array are: images of any type and order of axes, or sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from neunets_engine.datasets.source import Array, refusal

__all__ = ["Form", "form_of"]

# More on the last axis, and 1 or 3 on the second: (N, C, H, W).
MOST_COLOURS: Final = 4
SMALLEST_SIDE: Final = 8  # of square floats (N, H, W) that are images
WANTED: Final = "images are uint8 (N, H, W) or (N, H, W, C), sequences float (N, L) or (N, L, C)"
FIX: Final = "scale images to 0..255 and save them as uint8"


@dataclass(frozen=True, slots=True)
class Form:
    """`kind`: of the type; `scale`: to 0..255. `told`: what was guessed."""

    kind: str
    is_image: bool
    is_channels_first: bool = False
    scale: float = 1.0
    drops_alpha: bool = False
    told: tuple[str, ...] = ()

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of one example, (H, W, C) or (L, C), in an array of `shape`."""
        if not self.is_image:
            return (*shape[1:], 1)[:2]
        height, width, channels = (*shape[2:], shape[1]) if self.is_channels_first else (*shape[1:], 1)[:3]
        return height, width, 3 if self.drops_alpha else channels

    def stored(self, block: Array, what: Callable[[int], str]) -> Array:
        """uint8 for images, float32 for sequences. `what` names a row of the block. Raises: InvalidRequest."""
        shape = (len(block), *self.shape(block.shape))
        if not self.is_image:
            return _finite(block, what).reshape(shape)
        if self.is_channels_first:
            block = np.moveaxis(block, 1, -1)
        if block.dtype != np.uint8:
            block = self._in_bytes(block, what)
        if self.drops_alpha:
            _check_rows(block[..., 3] == 255, what, "is not opaque, as those of x_train are", "convert it to RGB")
            block = block[..., :3]
        return block.reshape(shape)

    def _in_bytes(self, block: Array, what: Callable[[int], str]) -> Array:
        values = block.astype(np.float64) * self.scale
        most = f"0..{255.0 / self.scale:g}, the range of x_train"
        _check_rows((values >= 0) & (values <= 255), what, f"holds values outside {most}", FIX)
        return np.round(values).astype(np.uint8)


def form_of(what: str, shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Callable[[], Iterable[Array]]) -> Form:
    """Of the training array. `what` names it; `blocks` give it, row by row. Raises: InvalidRequest."""
    text = f"is {dtype} {shape}"
    if len(shape) not in (3, 4) or dtype.kind not in "biuf":
        if dtype.kind == "f" and len(shape) == 2:
            return Form(dtype.kind, False)
        raise refusal(what, text, WANTED)
    if dtype.kind == "f" and len(shape) == 3 and not (shape[1] == shape[2] >= SMALLEST_SIDE):
        return _sequences(text, shape)
    is_first = _is_channels_first(shape)
    order = ("channels first are moved last",) if is_first else ()
    scale = 1.0
    if dtype != np.uint8:
        low, high, is_whole = _range(blocks())
        if not (low >= 0 and high <= 255):
            if dtype.kind == "f" and len(shape) == 3:
                return _sequences(text, shape)
            raise refusal(what, f"{text}, with values of {low:g} to {high:g}", FIX)
        if len(shape) == 4 and dtype.kind == "f" and not is_first and shape[3] > MOST_COLOURS:
            raise refusal(what, f"{text}, which has no axis of 1, 3 or 4 channels", FIX)
        scale = 255.0 if high <= 1 else 1.0
        values = "values of 0..255 are kept" if is_whole else "values of 0..255 are rounded"
        order = (*order, "values of 0..1 are scaled to 0..255" if scale > 1 else values)
    drops = _channels(shape, is_first) == 4 and _is_opaque(blocks(), is_first, 255.0 / scale)
    if drops:
        order = (*order, "a fourth channel that is full everywhere (alpha) is left out")
    elif _channels(shape, is_first) == 4:
        order = (*order, "the fourth channel is kept: lay images over a background where it is alpha")
    told = (f"{what.rpartition(': ')[2]} {text}: read as images; {', '.join(order)}",) if order else ()
    return Form(dtype.kind, True, is_first, scale, drops, told)


def _sequences(text: str, shape: tuple[int, ...]) -> Form:
    steps, channels = shape[1:]
    told = f"x_train {text}: read as sequences of {steps} steps and {channels} channels"
    return Form("f", False, told=(f"{told}; save images as uint8 in 0..255",))


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    """(N, C, H, W), where the last axis cannot be channels of colours."""
    if len(shape) != 4 or shape[3] <= MOST_COLOURS:
        return False
    return shape[1] in (1, 3) or (shape[1] == MOST_COLOURS and shape[2] == shape[3])


def _channels(shape: tuple[int, ...], is_first: bool) -> int:
    return 1 if len(shape) == 3 else shape[1] if is_first else shape[3]


def _range(blocks: Iterable[Array]) -> tuple[float, float, bool]:
    """Least and largest value, and whether all are whole numbers; NaN where there is one, or no value."""
    low, high, is_whole = np.inf, -np.inf, True
    for block in blocks:
        if block.size:
            low, high = np.minimum(low, block.min()), np.maximum(high, block.max())
            is_whole = is_whole and bool((block == np.floor(block)).all())
    return (float(low), float(high), is_whole) if low <= high else (np.nan, np.nan, False)


def _is_opaque(blocks: Iterable[Array], is_first: bool, most: float) -> bool:
    return all(bool(((block[:, 3] if is_first else block[..., 3]) == most).all()) for block in blocks)


def _check_rows(is_right: Array, what: Callable[[int], str], fault: str, fix: str) -> None:
    if not is_right.all():
        row = int(np.argwhere(~is_right)[0][0])
        raise refusal(what(row), fault, fix)


def _finite(block: Array, what: Callable[[int], str]) -> Array:
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
        stored = block.astype(np.float32)
    _check_rows(np.isfinite(stored), what, "holds a value that is no number of float32", "fill or remove it")
    return stored
