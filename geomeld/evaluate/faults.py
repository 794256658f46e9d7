"""Faults: what is wrong with a published evaluation script, each a switch, so that it can be done as it was."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Faults:
    """Known faults of MP-MAE's evaluation code (MMEarth-train, as its scripts call it); True does as that code does."""

    last_epoch: bool = False
    """Tests the network of the last epoch, though the best on validation is kept too. Otherwise validation chooses."""
    drop_path_while_frozen: bool = False
    """Drop path goes on inside a frozen encoder, so that the features of a linear probe differ from step to step (and
    cannot be computed once). Otherwise a frozen encoder is deterministic."""
    dropped_micro_batches: bool = False
    """Images that do not fill a batch, and batches that do not fill an accumulated step, are lost in every epoch: 8 of
    312 batches for 20,000 images in steps of 64 x 16. Otherwise the last step of an epoch is smaller."""
    thawed_at_full_rate: bool = False
    """When the encoder under the U-Net begins to train, it does at the decoder's rate: no decay with depth, no weight
    decay. Otherwise both are as for any other part."""
    inverted_layer_decay: bool = False
    """The stem learns at the full rate, though the first block learns at the smallest; convolutions between stages at
    that of the stage before. Otherwise the rate falls from the head to the stem."""
    smoothing_doubled: bool = False
    """Smoothing s of labels of several gives targets of s and 1 - s. Otherwise s / 2 and 1 - s / 2."""
    own_normalisation: bool = False
    """Images are always normalised by the set's own statistics, never by those that the encoder was trained with.
    Otherwise as the caller asks."""
    reflectance_divided_again: bool = False
    """The statistics of a set that is stored as reflectance (m-so2sat) are divided by 10,000 though its values are not:
    inputs come out some 10,000 times too large, and off centre. Otherwise they are z-scores."""
    sigmoid_by_image: bool = False
    """One image at a time is tested, and where all of its scores happen to lie in 0..1 they are taken for
    probabilities: no sigmoid is applied before the threshold of 0.5. Otherwise it always is."""

    def named(self) -> tuple[str, ...]:
        """The faults that are on."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name))


AS_SCRIPTED = Faults(*(True for _ in fields(Faults)))
"""All of them."""
MENDED = Faults()
"""None of them."""
