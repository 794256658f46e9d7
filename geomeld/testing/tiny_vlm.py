"""A tiny vision-language model: LLaVA of some 150,000 random weights, built on the spot, to serve for real."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIDE, PATCH, WIDTH, VOCABULARY = 28, 14, 32, 1500
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: "
    "{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}{% else %}<image>{% endif %}"
    "{% endfor %}{% endif %}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
"""Chat as plain lines."""


Chat = list[dict[str, Any]]
"""Messages as clients send them, pictures as data URLs."""


def build_tiny_vlm(folder: Path, texts: Sequence[str], lessons: Sequence[tuple[Chat, str]] = (), seed: int = 0) -> Path:
    """Write the model, its tokenizer (byte pairs learnt from `texts`) and its processor into a folder that
    `transformers serve` takes. It talks noise, but for the (chat, answer) pairs that it was taught by heart.

    Needs transformers and torch; takes a second, and some ten more where there are lessons.
    """
    import torch
    from transformers import GenerationConfig, LlavaForConditionalGeneration

    processor = _processor([*texts, *(answer for _, answer in lessons)])
    tokenizer = processor.tokenizer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(_configuration(tokenizer))
    if lessons:
        _teach(model, [_encoded(processor, chat, answer) for chat, answer in lessons])
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model.generation_config = GenerationConfig(do_sample=not lessons, **ends)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _encoded(processor: Any, chat: Chat, answer: str) -> dict[str, Any]:
    """A lesson as the model's inputs, with the answer as its label."""
    import torch

    asked = processor.apply_chat_template(
        [{**m, "content": [_with_image(part) for part in _parts(m["content"])]} for m in chat],
        tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True,
    )  # fmt: skip
    end = processor.tokenizer.eos_token_id
    told = torch.tensor([[*processor.tokenizer(answer).input_ids, end]])
    ids = torch.cat([asked["input_ids"], told], dim=1)
    labels = torch.cat([torch.full_like(asked["input_ids"], -100), told], dim=1)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": asked["pixel_values"],
            "labels": labels}  # fmt: skip


def _parts(content: Any) -> Chat:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _with_image(part: dict[str, Any]) -> dict[str, Any]:
    from PIL import Image

    if part["type"] != "image_url":
        return part
    data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
    return {"type": "image", "image": Image.open(io.BytesIO(data)).convert("RGB")}


def _teach(model: Any, lessons: Sequence[dict[str, Any]], enough: float = 0.05, steps: int = 400) -> None:
    """Repeat the lessons until the mean loss is small."""
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), lr=8e-3, weight_decay=0.0)
    model.train()
    for _ in range(steps):
        losses = [model(**lesson).loss for lesson in lessons]
        loss = torch.stack(losses).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if max(float(one.detach()) for one in losses) < enough:
            break
    else:
        raise RuntimeError(f"The model has not learnt its lessons in {steps} rounds (loss {float(loss.detach()):.3f}).")
    model.eval()


def _configuration(tokenizer: Any) -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    vision = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE,
        patch_size=PATCH, projection_dim=WIDTH,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    return LlavaConfig(vision_config=vision, text_config=text, image_token_index=image_token, vision_feature_layer=-1)


def _processor(texts: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast

    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<image>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokens.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    images = CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, do_convert_rgb=True
    )
    return LlavaProcessor(
        image_processor=images, tokenizer=tokenizer, patch_size=PATCH, vision_feature_select_strategy="default",
        chat_template=TEMPLATE, image_token="<image>", num_additional_image_tokens=1,
    )  # fmt: skip
