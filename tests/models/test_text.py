"""The tokenizer and the caption encoder."""

import pytest
import torch

from geomeld.models.text import END, PAD, TextConfig, TextEncoder, Tokenizer, train_tokenizer

CAPTIONS = [
    "A lake with forest on its northern shore.",
    "Rows of crop fields beside a road.",
    "Dense forest covers steep slopes.",
    "A river winds through crop fields and a small settlement.",
] * 5


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CAPTIONS, 320)


def test_training_is_a_pure_function_of_the_captions(tokenizer):
    assert train_tokenizer(CAPTIONS[::-1], 320).to_json() == tokenizer.to_json()
    assert 258 < tokenizer.vocab_size <= 320


def test_every_text_comes_back(tokenizer):
    for text in ("dense forest covers steep slopes.", "zürich, 氷河 ☃"):
        ids = tokenizer.encode([text])[0]
        assert ids[-1] == END
        assert tokenizer.decode(ids).strip() == text


def test_tokens_are_padded_cut_and_kept_by_json(tokenizer):
    ids = tokenizer.encode(["a lake", "", "forest " * 50], max_length=16)
    assert ids.shape == (3, 16)
    assert ids.dtype == torch.int64
    assert ids[1].tolist() == [END] + [PAD] * 15
    assert ids[2, -1] == END
    assert torch.equal(Tokenizer.from_json(tokenizer.to_json()).encode(["a lake"]), tokenizer.encode(["a lake"]))
    with pytest.raises(ValueError, match="no tokenizer"):
        Tokenizer.from_json("{}")


def test_learned_words_are_one_token(tokenizer):
    assert len(tokenizer.encode(["forest"])[0]) == 2
    assert len(tokenizer.encode(["qwxzk"])[0]) > 4


def test_padding_and_neighbours_change_nothing(tokenizer):
    torch.manual_seed(0)
    text = TextEncoder(TextConfig(vocab_size=tokenizer.vocab_size, width=32, depth=2, heads=4, max_length=32)).eval()
    ids = tokenizer.encode(["a lake with forest", "rows of crop fields beside a road and a river"])
    alone = tokenizer.encode(["a lake with forest"])
    with torch.no_grad():
        assert (text(ids)[0] - text(alone)[0]).abs().max() < 1e-6
        assert (text(ids)[0] - text(ids)[1]).abs().max() > 1e-3


def test_word_order_matters(tokenizer):
    torch.manual_seed(0)
    text = TextEncoder(TextConfig(vocab_size=tokenizer.vocab_size, width=32, depth=2, heads=4)).eval()
    with torch.no_grad():
        one, other = text(tokenizer.encode(["forest lake", "lake forest"]))
    assert (one - other).abs().max() > 1e-4
