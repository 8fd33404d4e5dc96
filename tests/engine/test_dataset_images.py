"""Images of every mode and size become one array, and what was done to them is told."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from neunets.errors import InvalidRequest
from neunets.images import Fault, Remark, decode, header, resized, resized_array
from neunets.preprocessing import Fit, Preprocessing
from neunets.service.v1 import service_pb2
from neunets_engine.datasets import Request, register
from neunets_engine.datasets.bounds import noted
from neunets_engine.datasets.decoding import Decoders, decode_part, measure_part
from neunets_engine.datasets.sizes import LARGEST, LONGEST, Size, choose_size
from neunets_engine.datasets.source import Progress
from neunets_engine.datasets.wire import preprocessing_from_proto
from neunets_engine.service.datasets import wanted
from sources import labels, pixels, png, write_folder, write_table

GREY, COLOUR = pixels(4, 5), pixels(4, 5, 3)
HALF = np.dstack([COLOUR, np.full((4, 5), 128, np.uint8)])
ORIENTATION, UPRIGHT, SIDEWAYS = 0x0112, 1, 6


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(Image.fromarray(COLOUR), "TIFF", exif=exif)


def moving() -> bytes:
    first, second = (Image.fromarray(np.full((4, 5), value, np.uint8)) for value in (0, 255))
    return encoded(first, "GIF", save_all=True, append_images=[second])


def over_white(image: NDArray[Any], alpha: int) -> NDArray[Any]:
    return np.round(image * (alpha / 255.0) + (255.0 - alpha))


# The file, its pixels in as many channels as are wanted, and what is told of it.
MODES: dict[str, tuple[bytes, NDArray[Any], Remark | None]] = {
    "grey": (png(GREY), GREY[..., None], None),
    "grey as colour": (png(GREY), np.dstack([GREY] * 3), None),
    "colour": (png(COLOUR), COLOUR, None),
    "black and white": (
        encoded(Image.fromarray(GREY > 99), "PNG"),
        255 * (GREY > 99)[..., None].astype(np.uint8),
        None,
    ),
    "palette": (
        encoded(Image.fromarray(COLOUR // 128 * 255).convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
        COLOUR // 128 * 255,
        None,
    ),
    "opaque": (png(np.dstack([COLOUR, np.full((4, 5), 255, np.uint8)])), COLOUR, None),
    "transparent": (png(HALF), over_white(COLOUR, 128), Remark.TRANSPARENT),
    "transparent grey": (
        encoded(Image.fromarray(np.dstack([GREY] * 3 + [HALF[..., 3]])).convert("LA"), "PNG"),
        over_white(GREY, 128)[..., None],
        Remark.TRANSPARENT,
    ),
    "16 bits": (
        encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"),
        GREY[..., None],
        Remark.DEEP,
    ),
    "CMYK": (
        encoded(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"),
        COLOUR,
        Remark.CMYK,
    ),
    "moving": (moving(), np.zeros((4, 5, 1), np.uint8), Remark.MOVING),
    "upright": (turned(UPRIGHT), COLOUR, None),
    "sideways": (turned(SIDEWAYS), np.rot90(COLOUR, -1), None),
}


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_any_mode_has_8_bits_a_channel(mode: str) -> None:
    content, expected, remark = MODES[mode]
    found = decode(content, Preprocessing.of_shape(expected.shape))
    assert not isinstance(found, Fault)
    np.testing.assert_allclose(found[0].astype(int), expected.astype(int), atol=1)
    assert found[1] == ({remark} if remark else set())


@pytest.mark.parametrize("mode", MODES)
def test_a_header_tells_the_size_as_seen(mode: str) -> None:
    content, expected, _ = MODES[mode]
    found = header(content)
    assert not isinstance(found, Fault)
    assert (found.height, found.width) == expected.shape[:2]


def test_a_photograph_that_lies_on_its_side_is_as_wide_as_it_is_seen() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = SIDEWAYS
    content = encoded(Image.fromarray(COLOUR), "JPEG", exif=exif)
    found = header(content)
    assert not isinstance(found, Fault)
    assert (found.height, found.width) == (5, 4)
    assert not isinstance(decode(content, Preprocessing(5, 4, 3)), Fault)


def test_a_large_jpeg_is_resized_from_all_of_its_pixels() -> None:
    content = encoded(Image.fromarray(pixels(400, 600, 3)), "JPEG", quality=95)
    found = decode(content, Preprocessing(20, 30, 3))
    assert not isinstance(found, Fault)
    with Image.open(io.BytesIO(content)) as whole:
        np.testing.assert_array_equal(found[0], whole.resize((30, 20), Image.Resampling.BILINEAR))


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    wanted=st.builds(Preprocessing, st.integers(1, 40), st.integers(1, 40), st.just(1), st.sampled_from(Fit)),
)
def test_an_image_is_brought_to_the_size_in_each_way(size: tuple[int, int], wanted: Preprocessing) -> None:
    image, (width, height) = Image.fromarray(pixels(size[1], size[0])), size
    found = np.asarray(resized(image, wanted)).astype(int)
    assert found.shape == (wanted.height, wanted.width)
    if wanted.fit is Fit.CROP:
        whole = ImageOps.fit(image, (wanted.width, wanted.height), Image.Resampling.BILINEAR)
        assert np.abs(found - np.asarray(whole).astype(int)).max() <= 1
    if wanted.fit is Fit.PAD:
        (inner_w, inner_h), (left, top) = wanted.placement(width, height).size, wanted.placement(width, height).corner
        assert inner_w == wanted.width or inner_h == wanted.height
        assert abs(inner_w * height - inner_h * width) <= max(width, height)  # its own aspect
        bars = np.ones_like(found, dtype=bool)
        bars[top : top + inner_h, left : left + inner_w] = False
        assert not found[bars].any()


def of_sizes(*sizes: tuple[int, int]) -> NDArray[Any]:
    return np.array(sizes, np.int32)


def test_images_of_one_size_stay_as_they_are() -> None:
    size = choose_size(of_sizes((300, 200), (300, 200)), None)
    assert (size.width, size.height) == (300, 200)


@pytest.mark.parametrize(
    ("sizes", "width", "height"),
    [
        ([(20, 20), (30, 30), (60, 60)], 30, 30),
        ([(20, 24), (30, 36), (60, 64)], 33, 33),  # nearly square
        ([(20, 40), (30, 60), (60, 120)], 30, 60),
        ([(640, 480), (800, 600)], 128, 96),
        ([(2000, 1000), (2000, 1000)], 128, 64),  # of one size, but too large
        ([(1, 1000), (1, 900)], 1, 128),
    ],
)
def test_images_of_several_sizes_get_the_median(sizes: list[tuple[int, int]], width: int, height: int) -> None:
    size = choose_size(of_sizes(*sizes), None)
    assert (size.width, size.height) == (width, height)


@given(sizes=st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), min_size=1, max_size=20))
def test_a_chosen_size_is_bounded(sizes: list[tuple[int, int]]) -> None:
    size = choose_size(of_sizes(*sizes), None)
    assert 1 <= min(size.height, size.width) <= max(size.height, size.width) <= LARGEST
    if len(set(sizes)) > 1:
        assert max(size.height, size.width) <= LONGEST


def mixed(path: Path) -> Path:
    write_folder(path, pixels(8, 40, 50, 3), labels(8))
    Image.fromarray(pixels(60, 30)).save(path / "cat" / "tall.png")
    return path


def test_what_is_resized_is_told(tmp_path: Path) -> None:
    dataset = register(Request(str(mixed(tmp_path / "x"))), tmp_path / "root")
    assert tuple(dataset.input.shape) == (45, 45, 3)
    (warning,) = dataset.warnings
    assert "9 images are resized to 45 x 45: the images are 30 to 50 pixels wide and 40 to 60 high" in warning
    features = dict(dataset.meta_features)
    assert (features["width/min"], features["width/median"], features["height/max"]) == (30.0, 50.0, 60.0)
    assert features["grey_fraction"] == pytest.approx(1 / 9)


def test_the_user_s_size_is_taken(tmp_path: Path) -> None:
    dataset = register(Request(str(mixed(tmp_path / "x")), size=Size(7, 9), fit=Fit.PAD), tmp_path / "root")
    assert tuple(dataset.input.shape) == (7, 9, 3)
    assert preprocessing_from_proto(dataset.preprocessing) == Preprocessing(7, 9, 3, Fit.PAD)
    assert dataset.preprocessing.resized == 9


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_arrays_of_images_get_the_size_of_the_user(channels: int, tmp_path: Path) -> None:
    x = pixels(20, 8, 6, channels)
    np.savez(tmp_path / "x.npz", x_train=x, y_train=labels(20), x_test=x[:4], y_test=[0, 1, 0, 1])
    dataset = register(Request(str(tmp_path / "x.npz"), size=Size(12, 5), fit=Fit.PAD), tmp_path / "root")
    done = preprocessing_from_proto(dataset.preprocessing)
    assert (done, dataset.preprocessing.resized) == (Preprocessing(12, 5, channels, Fit.PAD), 24)
    assert "24 images are resized to 5 x 12 and padded" in dataset.warnings[0]
    assert dict(dataset.meta_features)["height/max"] == 8.0
    kept = np.load(tmp_path / "root" / dataset.sha256 / "x_test.npy")
    np.testing.assert_array_equal(kept, [resized_array(image, done) for image in x[:4]])
    if channels == 3:
        np.testing.assert_array_equal(kept[0], resized(Image.fromarray(x[0]), done))


def test_sequences_have_no_size(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x_train=np.ones((20, 8)), y_train=labels(20))
    with pytest.raises(InvalidRequest, match="sequences, which have no height and width"):
        register(Request(str(tmp_path / "x.npz"), size=Size(4, 4)), tmp_path / "root")


def test_equal_arrays_that_were_made_in_other_ways_are_other_data(tmp_path: Path) -> None:
    write_folder(tmp_path / "x", pixels(8, 4, 5), labels(8))
    names = {register(Request(str(tmp_path / "x"), fit=fit), tmp_path / "root").name for fit in Fit}
    assert len(names) == len(Fit)


def grey_folder(change: Callable[[Path], object]) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        change(write_folder(path, pixels(8, 4, 5), labels(8)))
        return path

    return make


def validation(path: Path) -> None:
    (path / "train").mkdir()
    for name in ("cat", "dog"):
        (path / name).rename(path / "train" / name)
    write_folder(path / "val", pixels(4, 4, 5, seed=1), labels(4))


def spaced(path: Path) -> Path:
    rows = [[f"{('cat', 'dog')[label]}/{n:03d}.png", ("cat ", "Cat")[label]] for n, label in enumerate(labels(8))]
    write_folder(path, pixels(8, 4, 5), labels(8))
    return write_table(path, "data.csv", "path,label", rows)


# Odd data that can be used, and what is said of it.
HANDLED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "16 bits": (
        grey_folder(lambda p: (p / "cat/a.png").write_bytes(MODES["16 bits"][0])),
        "1 image of 16 bits, scaled to 8 (65535 to 255), such as ",
    ),
    "transparent": (
        grey_folder(lambda p: (p / "cat/a.png").write_bytes(png(HALF))),
        "1 image with transparent pixels, laid over white, such as ",
    ),
    "moving": (
        grey_folder(lambda p: (p / "cat/a.gif").write_bytes(moving())),
        "1 image of several frames, read as their first, such as ",
    ),
    "one pixel": (
        grey_folder(lambda p: (p / "cat/a.png").write_bytes(png(pixels(1, 1)))),
        "9 images are resized to 4 x 4: the images are 1 to 5 pixels wide and 1 to 4 high",
    ),
    "notes": (grey_folder(lambda p: (p / "cat/a.txt").touch()), "1 file passed over, no image of a class"),
    "validation part": (grey_folder(validation), "the validation set is the given one"),
    "spaces": (spaced, "4 labels have spaces around them, which are removed, such as 'cat '"),
    "case": (spaced, "the classes 'Cat' and 'cat' differ by case alone"),
    "a copy": (
        grey_folder(lambda p: [(p / f"dog/{n}.png").write_bytes(png(GREY)) for n in range(30)]),
        "in the training data, too, such as ",
    ),
    "imbalance": (
        grey_folder(lambda p: [(p / f"dog/{n}.png").write_bytes(png(pixels(4, 5, seed=n))) for n in range(40)]),
        "class 'dog' has 33 training examples, 'cat' 2: accuracy says little of small classes",
    ),
}


@pytest.mark.parametrize("case", HANDLED)
def test_what_was_handled_is_told(case: str, tmp_path: Path) -> None:
    make, told = HANDLED[case]
    dataset = register(Request(str(make(tmp_path / "source"))), tmp_path / "root")
    assert [warning for warning in dataset.warnings if told in warning], list(dataset.warnings)


def read(path: Path, tell: Callable[[Progress], None] = lambda _: None) -> service_pb2.Dataset:
    return register(Request(str(path / "source")), path / "root", tell)


def test_processes_decode_what_one_does() -> None:
    files = [png(pixels(6, 7, 3, seed=number)) for number in range(40)]
    parts = [files[begin : begin + 8] for begin in range(0, 40, 8)]
    with Decoders(patience_s=0.0) as decoders:
        while not decoders.is_ready():
            time.sleep(0.01)
        together = list(decoders.decode(parts, Preprocessing(4, 4, 3)))
        sizes = list(decoders.measure(parts))
    for part, found, measured in zip(parts, together, sizes, strict=True):
        np.testing.assert_array_equal(found.pixels, decode_part(part, Preprocessing(4, 4, 3)).pixels)
        np.testing.assert_array_equal(measured.sizes, measure_part(part).sizes)


def test_a_decoder_that_is_killed_is_a_refusal_that_names_what_it_read(tmp_path: Path) -> None:
    notes, file = tmp_path / "notes", tmp_path / "one.png"
    notes.mkdir()
    file.write_bytes(png(pixels(6, 7)))

    def parts() -> Iterator[list[str]]:
        yield [str(file)]
        while not noted(notes):
            time.sleep(0.01)
        for process in psutil.Process().children(recursive=True):
            if "spawn_main" in " ".join(process.cmdline()):
                process.kill()
        yield from [[str(file)]] * 8

    with Decoders(patience_s=0.0, notes=notes) as decoders:
        while not decoders.is_ready():
            time.sleep(0.01)
        with pytest.raises(InvalidRequest, match=rf"{file}: a process that decoded it was killed"):
            list(decoders.decode(parts(), Preprocessing(4, 4, 3)))


def test_progress_is_told_to_the_last_image(tmp_path: Path) -> None:
    write_folder(tmp_path / "source", pixels(200, 4, 5), labels(200))
    told: list[Progress] = []
    read(tmp_path, told.append)
    stages = list(dict.fromkeys(progress.stage for progress in told))
    assert stages == ["measuring", "decoding"]
    for stage in stages:
        done = [progress.done for progress in told if progress.stage == stage]
        assert done == sorted(done)
        assert (done[-1], told[-1].total) == (200, 200)


def test_a_size_is_given_whole() -> None:
    request = service_pb2.RegisterDatasetRequest
    assert wanted(request(image_size=5)).size == Size(5, 5)
    assert wanted(request(image_height=5, image_width=6)).size == Size(5, 6)
    for half in (request(image_height=5), request(image_width=5), request(image_size=5, image_width=5)):
        with pytest.raises(InvalidRequest, match="give image_height and image_width, or image_size alone"):
            wanted(half)
    with pytest.raises(InvalidRequest, match="image_fit"):
        wanted(request(image_fit=9))  # type: ignore[arg-type]
