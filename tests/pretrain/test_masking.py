"""Masks by keyed draws, and the teacher's average."""

import copy

import pytest
import torch
from torch import nn

from geomeld.pretrain.ema import make_teacher, update_teacher
from geomeld.pretrain.masking import complement, visible_count, visible_patches


@pytest.mark.parametrize(
    ("patches", "ratio", "n"), [(64, 0.7, 19), (16, 0.7, 4), (10, 0.9, 1), (4, 0.99, 1), (64, 0, 64)]
)
def test_counts_are_exact(patches, ratio, n):
    assert visible_count(patches, ratio) == n
    visible = visible_patches(range(5), 0, patches=patches, ratio=ratio)
    assert visible.shape == (5, n)
    assert all(len(set(row.tolist())) == n and min(row) >= 0 and max(row) < patches for row in visible)


def test_a_mask_belongs_to_its_tile_and_epoch_alone():
    tiles = [7, 2**62 + 1, 3]
    together = visible_patches(tiles, 4)
    assert torch.equal(visible_patches(tiles[::-1], 4).flip(0), together)
    assert torch.equal(visible_patches(tiles[1:2], 4)[0], together[1])
    assert not torch.equal(visible_patches(tiles, 5), together)
    assert not torch.equal(visible_patches(tiles, 4, seed=1), together)
    assert together[0].tolist() == sorted(together[0].tolist())


def test_every_patch_is_seen_equally_often():
    counts = torch.bincount(visible_patches(range(2000), 0).flatten(), minlength=64)
    assert (counts / 2000 - 19 / 64).abs().max() < 0.05


def test_complement_holds_the_others():
    visible = visible_patches(range(6), 0)
    hidden = complement(visible, 64)
    for seen, unseen in zip(visible.tolist(), hidden.tolist(), strict=True):
        assert sorted(seen + unseen) == list(range(64))
        assert unseen == sorted(unseen)


def test_the_teacher_follows_eq_13():
    torch.manual_seed(0)
    student = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    teacher = make_teacher(student)
    start = copy.deepcopy(teacher.state_dict())
    nn.init.normal_(student[0].weight)
    student[1].running_mean += 3
    for _ in range(2):
        update_teacher(teacher, student, tau=0.9)
    for name, xi in teacher.named_parameters():
        theta = student.state_dict()[name]
        wanted = 0.9 * (0.9 * start[name] + 0.1 * theta) + 0.1 * theta
        assert torch.allclose(xi, wanted, atol=1e-7), name
        assert not xi.requires_grad
    assert torch.equal(teacher[1].running_mean, student[1].running_mean)


def test_a_new_teacher_is_the_student_and_its_own():
    student = nn.Linear(3, 2)
    teacher = make_teacher(student)
    assert torch.equal(teacher.weight, student.weight)
    assert teacher.weight.data_ptr() != student.weight.data_ptr()
