"""What an emulated `response.create` may hold."""

from __future__ import annotations

from realtime_sip.testing.openai.frames import Frame, Refusal

__all__ = ["check_parameters"]

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
