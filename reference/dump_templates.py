"""Writes `fixtures/chat/expected.json`: what Transformers' `apply_chat_template` makes of the templates beside it.

    python dump_templates.py [--out ../fixtures/chat]

The templates are small and our own, in the style of those that model folders hold: ChatML with tools, Llama 3's headers,
Mistral's [INST], Gemma's turns, Qwen3's thoughts. A case that a template refuses has `refused`, its words; `learned` is what a template marks as the assistant's.
"""

import argparse
import json
from pathlib import Path

import jinja2
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

ASK, TELL = dict(role="user", content=" Which CWE is <b>“this”</b>?\n"), dict(role="assistant", content=" CWE-79.\n")
SYSTEM = dict(role="system", content="You weigh\tweaknesses. ")
MORE = dict(role="user", content="Sure?")
TOOL = dict(type="function", function=dict(
    name="look_up", description="Looks a CWE up & tells its name <café>.",
    parameters=dict(type="object", properties=dict(id=dict(type="integer", minimum=1), deep=dict(type="boolean", default=False)),
                    required=["id"])))
OTHER = dict(type="function", function=dict(name="now", description="Tells \"the\" hour.", parameters={}))


def call(content="", arguments=dict(id=79, ratio=0.5, deep=None, list=[1, 2.0, True])):
    function = dict(name="look_up", arguments=arguments)
    return dict(role="assistant", content=content, tool_calls=[dict(id="abcdefghi", type="function", function=function)])


ANSWER = dict(role="tool", content="Cross-site scripting", tool_call_id="abcdefghi", name="look_up")
BLOCKS = dict(role="user", content=[dict(type="image"), dict(type="text", text=" and this? ")])
CHATS = {
    "question": [ASK],
    "answered": [ASK, TELL],
    "system": [SYSTEM, ASK, TELL, MORE],
    "called": [SYSTEM, ASK, call(), ANSWER],
    "called twice": [ASK, call("Let me see.", '{"id": 79}'), ANSWER, dict(ANSWER, content="A"), TELL, MORE],
    "out of turn": [ASK, MORE],
    "short id": [ASK, call(), dict(ANSWER, tool_call_id="x")],
    "blocks": [BLOCKS],
    "mapping": [ASK, call(), dict(ANSWER, content=dict(content=7, unit=None))],
    "thoughts": [ASK, dict(role="assistant", content="<think>\nHm.\n\n</think>\n\nCWE-79"), MORE,
                 dict(role="assistant", content="<think>\nAgain.\n</think>\n\nYes.")],
    "reasoning": [ASK, dict(role="assistant", content="\nYes.", reasoning_content="\nSo.\n")],
    "shown": [dict(role="user", content="a  banana\nbread", show=dict(z=1, a=[True, None, 2.5], é="<é>"))],
    "results": [ASK, TELL, dict(role="user", content="<result>7</result>"), dict(role="assistant", content="So 7.")],
}
TEMPLATES = ["chatml", "headers", "inst", "turns", "thinking"]


def tokenizer():
    words = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def render(source, messages, tools, prompt):
    """The text, or None where the template stumbles over what it was not written for (Python says a type is wrong)."""
    try:
        text = tokenizer().apply_chat_template(messages, tools=tools, chat_template=source, add_generation_prompt=prompt,
                                               tokenize=False)
        return {"text": text}
    except jinja2.exceptions.UndefinedError:
        return None
    except jinja2.exceptions.TemplateError as error:
        return {"refused": str(error)}
    except TypeError:
        return None


def learned(source, messages):
    """What stands between `{% generation %}` and its end, for talks that the assistant ends in plain words."""
    plain = all(message.keys() == {"role", "content"} for message in messages)
    if "endgeneration" not in source or not plain or messages[-1]["role"] != "assistant":
        return {}
    texts, spans = render_jinja_template([messages], chat_template=source, return_assistant_tokens_mask=True, bos_token="<s>",
                                         eos_token="</s>")
    return {"learned": [texts[0][start:end] for start, end in spans[0]]}


def cases(out):
    for template in TEMPLATES:
        source = (out / f"{template}.jinja").read_text(encoding="utf8")
        for name, messages in CHATS.items():
            for tools, prompt in ((None, False), (None, True), ([TOOL, OTHER], True)):
                found = render(source, messages, tools, prompt)
                if found is not None:
                    case = dict(template=template, chat=name, tools=tools is not None, add_generation_prompt=prompt, **found)
                    if "text" in found and not tools and not prompt:
                        case |= learned(source, messages)
                    yield case


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "fixtures" / "chat")
    out = parser.parse_args().out
    expected = dict(chats=CHATS, tools=[TOOL, OTHER], cases=list(cases(out)))
    (out / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
