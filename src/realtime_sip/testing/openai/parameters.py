"""What an emulated `response.create` may hold."""

from __future__ import annotations

from realtime_sip.testing.openai.frames import Frame, Refusal

__all__ = ["check_parameters", "check_tokens"]

_PARAMETERS = frozenset(
    {
        "audio",
        "conversation",
        "input",
        "instructions",
        "max_output_tokens",
        "metadata",
        "output_modalities",
        "parallel_tool_calls",
        "prompt",
        "reasoning",
        "tool_choice",
        "tools",
    }
)


_MAX_TOKENS = 4096


def check_parameters(parameters: object) -> Frame:
    """Return `parameters` as those of a response.

    Raises:
        Refusal: They are not valid.
    """
    if not isinstance(parameters, dict):
        raise Refusal("The response must be an object.", code="invalid_type", param="response")
    for name in parameters:
        if name not in _PARAMETERS:
            # The words of the beta API among them: modalities, voice, output_audio_format, temperature.
            param = f"response.{str(name)[:80]}"
            raise Refusal(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
    if parameters.get("conversation", "auto") not in ("auto", "none"):
        raise Refusal(
            "Invalid value. Supported values are: 'auto' and 'none'.",
            code="invalid_value",
            param="response.conversation",
        )
    if parameters.get("output_modalities", ["audio"]) not in (["audio"], ["text"]):
        raise Refusal(
            "Invalid value. Supported values are: ['text'] and ['audio'].",
            code="invalid_value",
            param="response.output_modalities",
        )
    check_tokens(parameters.get("max_output_tokens", "inf"), "response.max_output_tokens")
    metadata = parameters.get("metadata")
    if metadata is not None and (
        not isinstance(metadata, dict)
        or len(metadata) > 16
        or any(len(k) > 64 or not isinstance(v, str) or len(v) > 512 for k, v in metadata.items())
    ):
        raise Refusal(
            "Invalid 'response.metadata': at most 16 pairs, keys of 64 and values of 512 characters.",
            code="invalid_value",
            param="response.metadata",
        )
    return parameters


def check_tokens(most: object, param: str) -> None:
    """Refuse what is neither 1 to 4096 nor "inf" (API reference). The codes are those of the vendor's other APIs.

    Raises:
        Refusal: It is neither.
    """
    if most == "inf":
        return
    if not isinstance(most, int) or isinstance(most, bool):
        raise Refusal(f"Invalid type for '{param}': expected an integer or 'inf'.", code="invalid_type", param=param)
    if most < 1:
        message = f"Invalid '{param}': integer below minimum value. Expected a value >= 1, but got {most} instead."
        raise Refusal(message, code="integer_below_min_value", param=param)
    if most > _MAX_TOKENS:
        limit = f"Expected a value <= {_MAX_TOKENS}, but got {most} instead."
        message = f"Invalid '{param}': integer above maximum value. {limit}"
        raise Refusal(message, code="integer_above_max_value", param=param)
