"""Hub: whether weights can be had from the Hugging Face Hub, told at once."""

from urllib.parse import urlsplit

from geomeld.core.errors import CheckpointError

PATIENCE = 10.0
"""Seconds that the hub may take to answer."""
FILES = ("model.safetensors", "pytorch_model.bin")
"""What holds the weights of a repository; the first that is there."""
LONGEST = 40
"""Words of somebody else's error that are passed on."""


def check_hub(repository: str | None) -> None:
    """Raises CheckpointError where a repository of weights is neither kept here nor on a hub that answers.

    Its own client would try that twelve times, for about a minute, before it says so. None is in no repository.
    """
    import huggingface_hub as hub
    from huggingface_hub.errors import HfHubHTTPError

    if repository is None or any(isinstance(hub.try_to_load_from_cache(repository, file), str) for file in FILES):
        return
    address = hub.hf_hub_url(repository, FILES[0])
    try:
        hub.get_hf_file_metadata(address, timeout=PATIENCE)
    except HfHubHTTPError:
        return  # it answered; what it lacks, its client tells
    except Exception as error:  # of whatever the client speaks through
        raise CheckpointError(f"{urlsplit(address).netloc} cannot be reached ({reason_of(error)})") from error


def reason_of(error: Exception) -> str:
    """The first words of somebody else's error, to stand within a sentence."""
    return " ".join(str(error).split()[:LONGEST]).rstrip(".") or type(error).__name__
