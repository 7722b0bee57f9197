"""The data: what travels with the package, what is found elsewhere, and what is refused."""

import gzip
import os
import shutil

import pytest
import torch

from kflow import data
from kflow.reproduce import embedded

SETS = {"mnist": data.mnist, "fashion-mnist": data.fashion_mnist}
needs_full = pytest.mark.skipif(not os.environ.get("KFLOW_DATA"), reason="KFLOW_DATA is not set")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_swiss_roll_is_two_arms_of_radius_two_each_the_other_turned_by_half_a_turn():
    x, y = data.swiss_roll(250, rng=generator())
    assert x.shape == (250, 2) and y.shape == (250, 1)
    assert x.dtype == y.dtype == torch.float64
    assert y.flatten().tolist() == [1.0] * 125 + [-1.0] * 125
    radius = x.norm(dim=1)
    assert 1.98 < radius.max() <= 2
    spiral = 1.5 * torch.pi * radius  # the angle that the arm of +1 has at this radius
    on_arm = radius[:, None] * torch.stack([spiral.cos(), spiral.sin()], dim=1)
    torch.testing.assert_close(y * on_arm, x)


def test_the_arms_of_the_swiss_roll_never_touch():
    x, y = data.swiss_roll(250, rng=generator(1))
    plus, minus = x[y[:, 0] > 0], x[y[:, 0] < 0]
    assert torch.cdist(plus, minus).min() > 0.3


def test_the_same_seed_draws_the_same_swiss_roll_and_another_seed_another():
    first, second, third = (data.swiss_roll(11, rng=generator(s))[0] for s in (3, 3, 4))
    assert torch.equal(first, second) and not torch.equal(first, third)


def test_an_odd_swiss_roll_has_one_more_point_of_plus_one():
    _, y = data.swiss_roll(7, rng=generator())
    assert y.sum() == 1


def test_noise_moves_the_points_by_its_standard_deviation():
    clean, _ = data.swiss_roll(4000, rng=generator())
    noisy, _ = data.swiss_roll(4000, rng=generator(), noise=0.1)
    assert (noisy - clean).std().item() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"n": 1}, ValueError, "n must be at least 2"),
        ({"n": 2.0}, TypeError, "n must be an integer"),
        ({"noise": -1.0}, ValueError, "noise must be at least 0"),
        ({"noise": float("nan")}, ValueError, "noise must be finite"),
        ({"rng": 0}, TypeError, "torch.Generator"),
    ],
)
@pytest.mark.wrong_types
def test_a_swiss_roll_refuses_bad_arguments_by_name(arguments, error, words):
    with pytest.raises(error, match=words):
        data.swiss_roll(**{"rng": generator()} | arguments)


@pytest.mark.parametrize("name", SETS)
def test_the_embedded_images_are_6000_and_2000_balanced_over_the_classes(name):
    digits = SETS[name]()
    assert digits.x.shape == (6000, 784) and digits.x_test.shape == (2000, 784)
    assert {t.dtype for t in digits} == {torch.float32}
    assert digits.x.min() == digits.x_test.min() == 0
    assert digits.x.max() == digits.x_test.max() == 1
    assert digits.y.sum(0).tolist() == [600.0] * 10
    assert digits.y_test.sum(0).tolist() == [200.0] * 10
    assert digits.y.sum(1).unique().tolist() == [1.0]


@pytest.mark.parametrize("name", SETS)
def test_no_embedded_test_image_is_also_a_training_image(name):
    digits = SETS[name]()
    train = {row.numpy().tobytes() for row in digits.x}
    assert not any(row.numpy().tobytes() in train for row in digits.x_test)


def test_the_embedded_files_take_less_than_five_megabytes_and_carry_their_licences():
    files = [path for path in data.EMBEDDED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 5e6
    assert "ShareAlike" in (data.EMBEDDED / "mnist" / "LICENSE").read_text()
    assert "MIT License" in (data.EMBEDDED / "fashion-mnist" / "LICENSE").read_text()


@pytest.mark.wrong_types
def test_full_must_be_true_or_false():
    with pytest.raises(TypeError, match="full must be True or False"):
        data.mnist(full="yes")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A folder that stands for the full sets: the embedded files under their classic names."""
    for name in SETS:
        (tmp_path / name).mkdir()
        for file in data.FILES:
            content = data.read_checked(
                data.EMBEDDED / name / f"{file}.xz", f"embedded/{name}/{file}"
            )
            (tmp_path / name / f"{file}.gz").write_bytes(gzip.compress(content, compresslevel=1))
    known = data.checksums()
    monkeypatch.setattr(
        data,
        "checksums",
        lambda: {key.replace("embedded", "full"): known[key] for key in known if "embedded" in key},
    )
    monkeypatch.setattr(data, "DEBIAN", tmp_path / "nothing")
    monkeypatch.setenv("KFLOW_DATA", str(tmp_path))
    return tmp_path


def test_full_sets_are_found_in_kflow_data_however_they_were_compressed(small):
    assert data.mnist(full=True).x.shape == (6000, 784)


def test_a_file_that_is_not_what_it_should_be_is_refused_by_name(small):
    path = small / "mnist" / f"{data.FILES[3]}.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[100] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(ValueError, match=f"{data.FILES[3]}.gz is corrupt: .*SHA-256"):
        data.mnist(full=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:1000],
        lambda b: b"not gzip",
        lambda b: b"",
        lambda b: b[:500] + bytes([b[500] ^ 255]) + b[501:],
    ],
)
def test_a_truncated_or_garbled_file_is_refused_by_name(small, damage):
    path = small / "mnist" / f"{data.FILES[0]}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{data.FILES[0]}.gz is corrupt"):
        data.mnist(full=True)


def test_fashion_mnist_is_found_where_the_debian_package_puts_it(small, monkeypatch):
    monkeypatch.setattr(data, "DEBIAN", small)
    monkeypatch.delenv("KFLOW_DATA")
    assert len(data.fashion_mnist(full=True).x) == 6000


def test_what_is_nowhere_is_downloaded_from_the_first_mirror_that_answers(small, monkeypatch):
    pooch = pytest.importorskip("pooch")
    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append(url)
        if url.startswith(data.MIRRORS["mnist"][0]):
            raise OSError("no route to host")
        return str(small / "mnist" / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.delenv("KFLOW_DATA")
    assert len(data.mnist(full=True).x) == 6000
    assert asked[:2] == [mirror + f"{data.FILES[0]}.gz" for mirror in data.MIRRORS["mnist"]]


@pytest.mark.parametrize(
    ("name", "cures"),
    [
        ("mnist", ("KFLOW_DATA", "pooch", "full=False")),
        ("fashion-mnist", ("KFLOW_DATA", "pooch", "dataset-fashion-mnist")),
    ],
)
def test_missing_data_says_the_three_things_to_try(small, monkeypatch, name, cures):
    def nothing(name, file):
        raise OSError("no mirror answered")

    monkeypatch.setattr(data, "_download", nothing)
    shutil.rmtree(small / name)
    with pytest.raises(FileNotFoundError) as caught:
        SETS[name](full=True)
    for number, cure in enumerate(cures, 1):
        assert cure in str(caught.value) and f"({number})" in str(caught.value)


def test_a_choice_of_images_is_balanced_and_depends_on_the_seed_alone():
    labels = torch.arange(10).repeat_interleave(30)[torch.randperm(300, generator=generator(9))]
    first, second, third = (embedded.choose(labels, 7, generator(s)) for s in (0, 0, 1))
    assert torch.equal(first, second) and not torch.equal(first, third)
    assert torch.bincount(labels[first]).tolist() == [7] * 10


@needs_full
@pytest.mark.parametrize("name", SETS)
def test_the_full_sets_are_60000_and_10000_images(name):
    digits = SETS[name](full=True)
    assert digits.x.shape == (60000, 784) and digits.x_test.shape == (10000, 784)
    mean_square = 2 * 60000 / 59999 * digits.x.double().var(0, correction=0).sum()
    assert mean_square.item() == pytest.approx(
        {"mnist": 105.452, "fashion-mnist": 136.435}[name], abs=1e-3
    )


@needs_full
@pytest.mark.parametrize("name", SETS)
def test_the_embedded_images_are_drawn_again_from_the_full_sets_with_the_recorded_seed(name):
    for file, content in embedded.subset(name).items():
        assert content == data.read_checked(
            data.EMBEDDED / name / f"{file}.xz", f"embedded/{name}/{file}"
        )


@pytest.mark.parametrize("packed", [True, False])
def test_full_sets_are_found_where_torchvision_puts_them_packed_or_not(small, packed):
    place = small / data.TORCHVISION["fashion-mnist"]
    place.parent.mkdir()
    (small / "fashion-mnist").rename(place)
    for path in [] if packed else list(place.glob("*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert data.fashion_mnist(full=True).x.shape == (6000, 784)


def test_a_file_that_unpacks_to_far_more_is_refused_before_it_does(small, monkeypatch):
    path = small / "mnist" / f"{data.FILES[0]}.gz"
    monkeypatch.setattr(data, "LARGEST", 1000)
    path.write_bytes(gzip.compress(bytes(10_000_000)))
    unpack = gzip.GzipFile.read

    def read(file, size=-1):
        assert 0 <= size <= 1001, "it is unpacked whole"
        return unpack(file, size)

    monkeypatch.setattr(gzip.GzipFile, "read", read)
    with pytest.raises(ValueError, match="is corrupt"):
        data.mnist(full=True)


def test_a_download_that_fails_says_why_in_a_few_words(small, monkeypatch):
    pooch = pytest.importorskip("pooch")

    def retrieve(*_, **__):
        raise ConnectionError("HTTPSConnectionPool(host=...): " + 500 * "x")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.delenv("KFLOW_DATA")
    with pytest.raises(FileNotFoundError) as caught:
        data.mnist(full=True)
    assert "storage.googleapis.com: ConnectionError)" in str(caught.value)
    assert len(str(caught.value)) < 450


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\x08", b"\0\0\x08\0", bytes([0, 0, 8, 1, 0, 0, 0, 9, 1]),
     bytes([0, 0, 13, 1, 0, 0, 0, 1]), bytes([0, 0, 8, 200, 1]),
     bytes([0, 0, 8, 1, 255, 255, 255, 255])],
)  # fmt: skip
def test_an_idx_file_that_lies_about_its_size_is_refused(content):
    with pytest.raises(ValueError, match="no IDX file of unsigned bytes"):
        data.parse_idx(content)
    assert data.parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])).tolist() == [7, 9]
    assert data.parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 0])).shape == (0,)
