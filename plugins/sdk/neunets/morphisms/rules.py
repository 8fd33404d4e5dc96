"""Why a morphism is refused: the codes of InvalidGraph that only morphisms use."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["RULES"]

RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "UNKNOWN_MORPHISM": "no morphism is of that kind",
        "BAD_ARGUMENT": "an argument is missing, unknown, of another type, or outside its range",
        "NO_NODE": "the graph has no node of that name",
        "BAD_WEIGHTS": "the parameters are those of another graph",
        "BAD_BATCH": "the batch holds no example, or is no input of the graph",
        "WIDEN_OP": "only conv, separable_conv and linear are widened",
        "WIDEN_WIDTH": "the new width is not above the old one",
        "WIDEN_STEP": "groups, or channels that are repeated, grow in larger steps",
        "WIDEN_INPUT": "channels of the layer are added to, or are, channels of the network's input",
        "WIDEN_OUTPUT": "channels of the layer are, or are added to, the logits",
        "WIDEN_GROUPS": "groups of one convolution would differ in size",
        "WIDEN_ALIGNMENT": "what is added to the layer's channels has no index map of the same form",
        "AT_OUTPUT": "nothing is inserted behind the logits",
        "FUNCTION_CHANGES": "the activation would change the value behind which it is put",
        "LAYER_SHAPE": "a convolution needs positions, a linear layer a vector",
        "KERNEL_UNSEEN": "new taps would lie in the padding at every position, and never get a gradient",
        "KERNEL_OP": "only kernels of conv and separable_conv are widened",
        "KERNEL_SIZE": "the new kernel is not larger than the old one",
        "KERNEL_PADDING": "the output would have other extents: the padding is not 'same'",
        "KERNEL_OFFSET": "the old taps would lie between the new ones: the dilation does not divide the shift",
        "BRANCH_OP": "only conv and separable_conv are branched",
        "BRANCH_GROUPS": "a branch would read a part of its input's channels, which no operator can say",
        "BRANCH_AT": "a branch would be empty",
    }
)
