"""Conversation items: the messages, function calls and hosted MCP calls that a conversation is made of.

Items and parts to send have the plain names (`UserMessage`, `InputText`). Those that are received end in `Item` and
`Part` (`UserMessageItem`, `InputTextPart`), and each of their unions ends in a member for what this version does not
know. Fields are those of the service's own types (API guide, November 2026).

>>> UserMessage.text("Where is my order?").to_wire()
{'type': 'message', 'role': 'user', 'content': [{'type': 'input_text', 'text': 'Where is my order?'}]}
"""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, StrictBool

from realtime_sip import beta
from realtime_sip._wire import Inbound, Open, Outbound, Unknown, refusing_beta_types

__all__ = [
    "AssistantMessage",
    "AssistantMessageItem",
    "AudioPart",
    "ContentPart",
    "FunctionCall",
    "FunctionCallItem",
    "FunctionCallOutput",
    "FunctionCallOutputItem",
    "InputAudio",
    "InputAudioPart",
    "InputImage",
    "InputImagePart",
    "InputText",
    "InputTextPart",
    "Item",
    "ItemReference",
    "ItemStatus",
    "McpApprovalRequest",
    "McpApprovalRequestItem",
    "McpApprovalResponse",
    "McpApprovalResponseItem",
    "McpCall",
    "McpCallItem",
    "McpHttpErrorDetail",
    "McpListTools",
    "McpListToolsItem",
    "McpListedTool",
    "McpProtocolErrorDetail",
    "McpToolExecutionErrorDetail",
    "NewItem",
    "OutputAudioPart",
    "OutputText",
    "OutputTextPart",
    "ResponseInputItem",
    "SystemMessage",
    "SystemMessageItem",
    "TextPart",
    "UnknownItem",
    "UnknownMcpErrorDetail",
    "UnknownPart",
    "UserMessage",
    "UserMessageItem",
]

_ItemStatus: TypeAlias = Literal["completed", "incomplete", "in_progress"]
ItemStatus: TypeAlias = Open[Literal["completed", "incomplete", "in_progress"]]
"""How far an item is. `incomplete` is an item that was interrupted or cut off."""


# --- parts to send ----------------------------------------------------------------------------------------------------


class InputText(Outbound):
    """Text from the user or the system."""

    type: Literal["input_text"] = "input_text"
    text: str


class InputAudio(Outbound):
    """Recorded speech of the user. On a phone call the caller's speech arrives by itself."""

    type: Literal["input_audio"] = "input_audio"
    audio: str | None = None
    """Base64, in the session's input format: PCM, 16 bits, 24 kHz, mono, unless that was set otherwise."""
    transcript: str | None = None
    """Kept with the item for reference. The model does not see it."""


class InputImage(Outbound):
    """A picture for the model to look at."""

    type: Literal["input_image"] = "input_image"
    image_url: str | None = None
    """A data URI with a PNG or JPEG, `data:image/png;base64,...`."""
    detail: Literal["auto", "low", "high"] | None = None
    """How closely to look. `auto`, the default, means high."""


class OutputText(Outbound):
    """Text for the conversation to have as said by the assistant. A client cannot create audio of the assistant."""

    type: Literal["output_text"] = "output_text"
    text: str


_REFERENCE = {beta.REFERENCE: "an entry of a response's input"}
SystemPart: TypeAlias = Annotated[InputText, refusing_beta_types(_REFERENCE)]
UserPart: TypeAlias = Annotated[
    Annotated[InputText | InputAudio | InputImage, Field(discriminator="type")], refusing_beta_types(_REFERENCE)
]
# What the assistant has said as audio can only be created as its text.
AssistantPart: TypeAlias = Annotated[
    OutputText, refusing_beta_types({**dict.fromkeys(beta.CONTENT_TYPES, "output_text"), **_REFERENCE})
]


# --- items to send ----------------------------------------------------------------------------------------------------


class _NewMessage(Outbound):
    type: Literal["message"] = "message"
    id: str | None = None
    """The item's id. If left out, the service makes one."""
    object: Literal["realtime.item"] | None = None
    status: _ItemStatus | None = None
    """Has no effect on the conversation."""


class SystemMessage(_NewMessage):
    """A message of the system: guidance that arrives in the middle of a conversation."""

    role: Literal["system"] = "system"
    content: list[SystemPart]

    @classmethod
    def text(cls, text: str) -> Self:
        """Return a message with one part, `text`."""
        return cls(content=[InputText(text=text)])


class UserMessage(_NewMessage):
    """A message of the user, as text, audio or pictures."""

    role: Literal["user"] = "user"
    content: list[UserPart]

    @classmethod
    def text(cls, text: str) -> Self:
        """Return a message with one part, `text`."""
        return cls(content=[InputText(text=text)])


class AssistantMessage(_NewMessage):
    """Something for the conversation to have as said by the assistant. It is not spoken."""

    role: Literal["assistant"] = "assistant"
    content: list[AssistantPart]
    phase: Literal["commentary", "final_answer"] | None = None
    """What the message was for; see `AssistantMessageItem`. Set it only to send back what came. It is not documented
    that this API accepts it; the Responses API wants it back."""

    @classmethod
    def text(cls, text: str) -> Self:
        """Return a message with one part, `text`."""
        return cls(content=[OutputText(text=text)])


class FunctionCall(Outbound):
    """A function call for the conversation to have as made by the model, for example to restore a conversation."""

    type: Literal["function_call"] = "function_call"
    name: str
    arguments: str
    """A JSON object as text."""
    call_id: str | None = None
    id: str | None = None
    object: Literal["realtime.item"] | None = None
    status: _ItemStatus | None = None
    """Has no effect on the conversation."""


class FunctionCallOutput(Outbound):
    """What a function returned. The model reads it at its next response, which you have to ask for."""

    type: Literal["function_call_output"] = "function_call_output"
    call_id: str
    """The `call_id` of the function call, not the id of its item and not the id of the phone call."""
    output: str
    """Any text; JSON is usual. It may be empty."""
    id: str | None = None
    object: Literal["realtime.item"] | None = None
    status: _ItemStatus | None = None
    """Has no effect on the conversation."""


class McpListTools(Outbound):
    """Tools for the conversation to have as listed by an MCP server."""

    type: Literal["mcp_list_tools"] = "mcp_list_tools"
    server_label: str
    tools: list[dict[str, Any]]
    """Objects with `name`, `input_schema` and, if wanted, `description` and `annotations`; sent as they are."""
    id: str | None = None


class McpCall(Outbound):
    """A call of an MCP server's tool for the conversation to have as made by the model."""

    type: Literal["mcp_call"] = "mcp_call"
    id: str
    server_label: str
    name: str
    arguments: str
    """A JSON object as text."""
    output: str | None = None
    approval_request_id: str | None = None
    error: dict[str, Any] | None = None
    """An object with `type`, `message` and, for protocol and HTTP errors, `code`; sent as it is."""


class McpApprovalRequest(Outbound):
    """An approval request for the conversation to have as made by the model."""

    type: Literal["mcp_approval_request"] = "mcp_approval_request"
    id: str
    server_label: str
    name: str
    arguments: str
    """A JSON object as text."""


class McpApprovalResponse(Outbound):
    """The answer to an approval request of a hosted MCP tool. Without it the tool is not called."""

    type: Literal["mcp_approval_response"] = "mcp_approval_response"
    approval_request_id: str
    """The id of the `mcp_approval_request` item."""
    approve: StrictBool
    id: str | None = None
    """The service's types require it. Clients leave it out, as they may for every other item."""
    reason: str | None = None


class ItemReference(Outbound):
    """An item of the conversation by its id. It can only be sent in the `input` of `response.create`."""

    type: Literal["item_reference"] = "item_reference"
    id: str


_NewMessages: TypeAlias = Annotated[SystemMessage | UserMessage | AssistantMessage, Field(discriminator="role")]

NewItem: TypeAlias = Annotated[
    _NewMessages
    | FunctionCall
    | FunctionCallOutput
    | McpListTools
    | McpCall
    | McpApprovalRequest
    | McpApprovalResponse,
    Field(discriminator="type"),
]
"""An item for `conversation.item.create`."""

ResponseInputItem: TypeAlias = Annotated[NewItem | ItemReference, Field(discriminator="type")]
"""An item for the `input` of `response.create`."""


# --- parts that are received ------------------------------------------------------------------------------------------


class InputTextPart(Inbound):
    """Text from the user or the system."""

    type: Literal["input_text"]
    text: str | None = None


class InputAudioPart(Inbound):
    """Speech of the user."""

    type: Literal["input_audio"]
    audio: str | None = None
    """Base64. Only an answer to `conversation.item.retrieve` has it."""
    transcript: str | None = None
    """What was understood, if transcription is on. It comes later than the item, and is None until then."""


class InputImagePart(Inbound):
    """A picture from the user."""

    type: Literal["input_image"]
    image_url: str | None = None
    detail: Open[Literal["auto", "low", "high"]] | None = None


class OutputTextPart(Inbound):
    """Text of the assistant, in a session that answers with text."""

    type: Literal["output_text"]
    text: str | None = None


class OutputAudioPart(Inbound):
    """Speech of the assistant."""

    type: Literal["output_audio"]
    audio: str | None = None
    """Base64. Only an answer to `conversation.item.retrieve` has it."""
    transcript: str | None = None
    """What was said, or was to be said: after an interruption the caller may have heard less."""


class TextPart(Inbound):
    """Text of the assistant under its short name, which content-part events and some items use."""

    type: Literal["text"]
    text: str | None = None


class AudioPart(Inbound):
    """Speech of the assistant under its short name, which content-part events and some items use."""

    type: Literal["audio"]
    audio: str | None = None
    transcript: str | None = None


class UnknownPart(Unknown):
    """A part of a kind that this version does not know."""


_SystemPart: TypeAlias = Annotated[InputTextPart | UnknownPart, Field(union_mode="left_to_right")]
_UserPart: TypeAlias = Annotated[
    Annotated[InputTextPart | InputAudioPart | InputImagePart, Field(discriminator="type")] | UnknownPart,
    Field(union_mode="left_to_right"),
]
_AssistantPart: TypeAlias = Annotated[
    Annotated[OutputAudioPart | OutputTextPart | TextPart | AudioPart, Field(discriminator="type")] | UnknownPart,
    Field(union_mode="left_to_right"),
]
ContentPart: TypeAlias = Annotated[
    Annotated[TextPart | AudioPart | OutputTextPart | OutputAudioPart, Field(discriminator="type")] | UnknownPart,
    Field(union_mode="left_to_right"),
]
"""The `part` of `response.content_part.added` and `.done`: `TextPart` or `AudioPart`, under their short names."""


# --- items that are received ------------------------------------------------------------------------------------------


class _MessageItem(Inbound):
    type: Literal["message"]
    id: str | None = None
    object: Open[Literal["realtime.item"]] | None = None
    status: ItemStatus | None = None


class SystemMessageItem(_MessageItem):
    """A message of the system."""

    role: Literal["system"]
    content: list[_SystemPart]


class UserMessageItem(_MessageItem):
    """A message of the user, typed or spoken."""

    role: Literal["user"]
    content: list[_UserPart]


class AssistantMessageItem(_MessageItem):
    """Something that the model said or wrote. `content` is empty while it is in progress."""

    role: Literal["assistant"]
    content: list[_AssistantPart]
    phase: Open[Literal["commentary", "final_answer"]] | None = None
    """What the message is for: "commentary" on the way, such as "let me look that up", or the "final_answer". One
    response can have a message of each (Azure's documentation of gpt-realtime-2, November 2026; the vendor's own types
    have it only in other APIs)."""


class FunctionCallItem(Inbound):
    """A function call that the model wants made. Run it once it is completed, and once per `call_id`."""

    type: Literal["function_call"]
    name: str
    arguments: str
    """JSON as text, written by the model: untrusted, and empty while the item is in progress."""
    call_id: str | None = None
    """The id that the output has to name. It is not the id of the phone call."""
    id: str | None = None
    object: Open[Literal["realtime.item"]] | None = None
    status: ItemStatus | None = None


class FunctionCallOutputItem(Inbound):
    """The output of a function, as the service has it."""

    type: Literal["function_call_output"]
    call_id: str
    output: str
    id: str | None = None
    object: Open[Literal["realtime.item"]] | None = None
    status: ItemStatus | None = None


class McpListedTool(Inbound):
    """A tool that an MCP server offers."""

    name: str
    input_schema: dict[str, Any]
    """JSON Schema of the arguments."""
    description: str | None = None
    annotations: dict[str, Any] | None = None


class McpListToolsItem(Inbound):
    """The tools that an MCP server offers. The model can call them once this item is there."""

    type: Literal["mcp_list_tools"]
    server_label: str
    tools: list[McpListedTool]
    id: str | None = None


class McpProtocolErrorDetail(Inbound):
    """The MCP server did not keep to the protocol."""

    type: Literal["protocol_error"]
    code: int
    message: str


class McpToolExecutionErrorDetail(Inbound):
    """The tool failed."""

    type: Literal["tool_execution_error"]
    message: str


class McpHttpErrorDetail(Inbound):
    """The MCP server answered with an HTTP error."""

    type: Literal["http_error"]
    code: int
    message: str


class UnknownMcpErrorDetail(Unknown):
    """An error of a kind that this version does not know."""


_McpErrorDetail: TypeAlias = Annotated[
    Annotated[
        McpProtocolErrorDetail | McpToolExecutionErrorDetail | McpHttpErrorDetail,
        Field(discriminator="type"),
    ]
    | UnknownMcpErrorDetail,
    Field(union_mode="left_to_right"),
]


class McpCallItem(Inbound):
    """A call of a tool on an MCP server, made by the service itself."""

    type: Literal["mcp_call"]
    id: str
    server_label: str
    name: str
    arguments: str
    """JSON as text, written by the model."""
    output: str | None = None
    approval_request_id: str | None = None
    error: _McpErrorDetail | None = None


class McpApprovalRequestItem(Inbound):
    """The service asks whether it may call a tool. It waits for a `McpApprovalResponse`."""

    type: Literal["mcp_approval_request"]
    id: str
    server_label: str
    name: str
    arguments: str
    """JSON as text, written by the model: look at it before approving."""


class McpApprovalResponseItem(Inbound):
    """The answer to an approval request, as the service has it."""

    type: Literal["mcp_approval_response"]
    id: str
    approval_request_id: str
    approve: bool
    reason: str | None = None


class UnknownItem(Unknown):
    """An item of a kind that this version does not know, or that lacks a field that its kind must have."""

    @property
    def id(self) -> str | None:
        """The item's id, or None if it has none."""
        value = (self.__pydantic_extra__ or {}).get("id")
        return value if isinstance(value, str) else None


Item: TypeAlias = Annotated[
    Annotated[
        Annotated[AssistantMessageItem | UserMessageItem | SystemMessageItem, Field(discriminator="role")]
        | FunctionCallItem
        | FunctionCallOutputItem
        | McpListToolsItem
        | McpCallItem
        | McpApprovalRequestItem
        | McpApprovalResponseItem,
        Field(discriminator="type"),
    ]
    | UnknownItem,
    Field(union_mode="left_to_right"),
]
"""An item of a conversation or a response, as the service reports it."""
