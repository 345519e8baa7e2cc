"""Has the firmware these operators, in this form?"""

from __future__ import annotations

from collections.abc import Iterator

from ai_edge_litert import schema_py_generated as schema

from convert.audit.identity import preset_of
from convert.audit.model import OPTIONS_OF, options_name
from convert.audit.registry import CannotJudge, Finding, NotApplicable, check
from convert.audit.subject import BOOL, FLOATS, INT8, Step, Subject, printable
from convert.firmware_operators import FIRMWARE_OPERATORS, INT8_VERSIONS
from convert.identify import CONVOLUTIONS

_ACTIVATION = schema.ActivationFunctionType
_ACTIVATIONS = {code: name for name, code in vars(_ACTIVATION).items() if type(code) is int}
_REQUANTISE = ("QUANTIZE", "DEQUANTIZE")
_MANY = 1 << 31

_OPERANDS = {
    "ADD": (2, 2),
    "AVERAGE_POOL_2D": (1, 1),
    "CONCATENATION": (1, _MANY),
    "CONV_2D": (2, 3),
    "DEPTHWISE_CONV_2D": (2, 3),
    "GATHER": (2, 2),
    "GREATER": (2, 2),
    "LOGISTIC": (1, 1),
    "QUANTIZE": (1, 1),
    "SELECT_V2": (3, 3),
}
_CHANNELS, _TIME = 3, 1


def wrong_operands(s: Subject) -> Iterator[Finding]:
    """Operators of the firmware's kinds without the inputs or the output of their kind."""
    for step in s.steps:
        if step.kind not in _OPERANDS:
            continue
        least, most = _OPERANDS[step.kind]
        if not least <= len(step.inputs) <= most or len(step.outputs) != 1:
            text = f"has {len(step.inputs)} inputs and {len(step.outputs)} outputs"
            yield s.on_step(step, text, [len(step.inputs), len(step.outputs)])
        elif -1 in step.inputs[:2] or (-1 in step.inputs and step.kind not in CONVOLUTIONS):
            yield s.on_step(step, "lacks an input")


@check("operator-operands", "error", "an operator has the operands of its kind", "convert it anew")
def _operands(s: Subject) -> Iterator[Finding]:
    return wrong_operands(s)


@check("operator-options", "error", "an operator has the options of its kind", "convert it anew")
def _options(s: Subject) -> Iterator[Finding]:
    for step in s.steps:
        wanted = OPTIONS_OF.get(step.kind)
        if wanted and step.options is None:
            found = options_name(step.options_type) or f"options {step.options_type}"
            yield s.on_step(step, f"has {found}, not {wanted}", step.options_type)


@check(
    "operator-custom",
    "error",
    "no operator is custom",
    "convert with TFLite's own operators alone",
)
def _custom(s: Subject) -> Iterator[Finding]:
    for step in s.steps:
        if step.custom is not None:
            name = printable(step.custom)
            yield s.on_step(step, f"is the custom operator '{name}'", name)


@check(
    "operator-not-in-firmware",
    "error",
    "the firmware has every operator",
    "write the network with: " + ", ".join(sorted(FIRMWARE_OPERATORS)),
)
def _not_in_firmware(s: Subject) -> Iterator[Finding]:
    for step in s.steps:
        if step.kind and step.kind not in FIRMWARE_OPERATORS and step.custom is None:
            yield s.on_step(step, "is an operator that the firmware lacks", step.kind)


@check(
    "operator-version",
    "warning",
    "an operator says the version that has int8",
    "write the version of docs/audit.md's source, convert/firmware_operators.py",
)
def _version(s: Subject) -> Iterator[Finding]:
    for step in s.sound_steps:
        least = INT8_VERSIONS.get(step.kind, 0)
        if step.version < least and any(s.is_int8(t) for t in step.inputs[:1]):
            yield s.on_step(step, f"says version {step.version}; int8 came with {least}")


def moves_embedding(s: Subject, step: Step) -> bool:
    """Whether a QUANTIZE brings a personalised network's embedding to another int8 grid."""
    if step.kind != "QUANTIZE" or len(step.inputs) != 1 or len(step.outputs) != 1:
        return False
    source, count = step.inputs[0], len(s.tensors)
    if source not in s.inputs or not (0 <= source < count and 0 <= step.output < count):
        return False
    try:
        personal = preset_of(s).speaker is not None
    except (CannotJudge, NotApplicable):
        personal = False
    int8 = s.is_int8(source) and s.is_int8(step.output)
    return personal and int8 and s.name(source) == "embedding"


@check(
    "requantised",
    "error",
    "no QUANTIZE or DEQUANTIZE stands in the graph, but for an int8 embedding's",
    "give the model int8 inputs and outputs; see float-island",
)
def _requantised(s: Subject) -> Iterator[Finding]:
    for step in s.steps:
        if step.kind in _REQUANTISE and not moves_embedding(s, step):
            yield s.on_step(step, "changes the numbers' form inside the graph", step.kind)


@check(
    "float-island",
    "error",
    "nothing is computed in float in an int8 graph",
    "quantise the operators around it, or write them so that the converter can",
)
def _float_island(s: Subject) -> Iterator[Finding]:
    if not any(s.is_int8(t) for t in s.computed):
        raise NotApplicable("no computed tensor is int8")
    for tensor in s.computed:
        if s.tensors[tensor].type in FLOATS:
            yield s.on_tensor(tensor, f"is {s.type_name(tensor)}", s.type_name(tensor))


@check(
    "type-not-in-firmware",
    "error",
    "every computed tensor is int8, or the BOOL of a GREATER",
    "quantise the model to int8",
)
def _types(s: Subject) -> Iterator[Finding]:
    for tensor in s.computed:
        kind = s.tensors[tensor].type
        if kind == INT8 or (kind == BOOL and s.producer(tensor, "GREATER")):
            continue
        yield s.on_tensor(tensor, f"is {s.type_name(tensor)}", s.type_name(tensor))


@check(
    "fused-activation",
    "error",
    "no activation is fused but a convolution's RELU",
    "write the activation as an operator, or use RELU after a convolution",
)
def _fused(s: Subject) -> Iterator[Finding]:
    for step in s.steps:
        kind = getattr(step.options, "fusedActivationFunction", _ACTIVATION.NONE)
        allowed = {_ACTIVATION.NONE, _ACTIVATION.RELU if step.kind in CONVOLUTIONS else 0}
        if step.kind in FIRMWARE_OPERATORS and kind not in allowed:
            name = _ACTIVATIONS.get(kind, f"activation {kind}")
            yield s.on_step(step, f"has {name} fused into it", name)


@check(
    "operator-geometry",
    "error",
    "convolutions are 1x1 or one filter a channel, and move by 1; windows and joins are in time, "
    "but for an embedding's",
    "write the layer as docs/contracts.md has it",
)
def _geometry(s: Subject) -> Iterator[Finding]:
    for step in s.sound_steps:
        if step.kind in FIRMWARE_OPERATORS and step.options is not None:
            for what, value, wanted in _forms(s, step):
                if value not in wanted:
                    text = f"has {what} {value}; the firmware has {wanted[0]}"
                    yield s.on_step(step, text, value)


def _forms(s: Subject, step: Step) -> Iterator[tuple[str, object, tuple[object, ...]]]:
    """What is asked of an operator's form: its name, what is there, and what may be."""
    options = vars(step.options) if step.options else {}
    for name in ("strideH", "strideW", "dilationHFactor", "dilationWFactor", "depthMultiplier"):
        if name in options:
            yield name, options[name], (1,)
    if step.kind in ("DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D") and "padding" in options:
        valid = options["padding"] == schema.Padding.VALID
        yield "padding", "VALID" if valid else "SAME", ("VALID",)
    if step.kind in CONVOLUTIONS:
        kernel = s.shape(step.inputs[1])
        if len(kernel) == 4:
            height = kernel[1] if step.kind == "CONV_2D" else 1
            yield "a kernel of", (height, kernel[2]), ((1, 1),)
    if step.kind == "AVERAGE_POOL_2D" and "filterWidth" in options:
        window = s.shape(step.inputs[0])
        yield "filterWidth", options["filterWidth"], (1,)
        if len(window) == 4:
            yield "filterHeight", options["filterHeight"], (window[_TIME],)
    if step.kind == "CONCATENATION" and "axis" in options:
        last = s.producer(step.inputs[-1], "QUANTIZE")
        beside = last is not None and moves_embedding(s, last)
        yield "axis", options["axis"], (_CHANNELS, -1) if beside else (_TIME, _TIME - 4)
    if step.kind == "GATHER" and "axis" in options:
        yield "axis", options["axis"], (_CHANNELS, -1)
        yield "batchDims", options["batchDims"], (0,)
