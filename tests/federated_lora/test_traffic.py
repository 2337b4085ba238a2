import pytest

from federated_lora import FedAvgLoRA, FFALoRA, RoLoRA, Shape, Traffic

SHAPES = [Shape(1024, 4, 1024), Shape(4096, 8, 11008)]


def test_numbers_sent_are_the_sizes_of_the_factors():
    A = 1024 * 4 + 4096 * 8
    B = 4 * 1024 + 8 * 11008
    assert FedAvgLoRA().traffic(SHAPES, 1) == Traffic(A + B, A + B)
    assert FFALoRA().traffic(SHAPES, 2) == Traffic(B, B)
    assert RoLoRA().traffic(SHAPES, 1) == Traffic(B, B)
    assert RoLoRA().traffic(SHAPES, 2) == Traffic(A, A)
    assert (RoLoRA().traffic(SHAPES, 1) + RoLoRA().traffic(SHAPES, 2)).total == 2 * (A + B)


def test_shapes_may_be_a_generator():
    assert FedAvgLoRA().traffic((s for s in SHAPES), 1) == FedAvgLoRA().traffic(SHAPES, 1)
    assert RoLoRA().traffic([], 1) == Traffic(0, 0)


def test_empty_shapes_are_refused():
    with pytest.raises(ValueError, match="rank must be at least 1, got 0"):
        Shape(3, 0, 4)
