"""Write a copy of the chart that names the published image.

    python tools/release_chart.py --owner acme --image ghcr.io/acme/NAME FOLDER

The chart in the repository fixes no owner: its image has no host, and its texts say
OWNER where the owner of the repository belongs. A release knows both. It uses only the
standard library, so any Python from 3.11 on can run it.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

CHART = (
    Path(__file__).resolve().parent.parent
    / "deploy"
    / "helm"
    / "zitadel-notification-operator"
)
TEXTS = ("Chart.yaml", "README.md", "values.yaml")
"""The files that may name the owner or the image."""
REPOSITORY = "zitadel-notification-operator"
"""The repository of the image in the chart's default values."""
VALUE = re.compile(rf"(?m)^(  repository: ){REPOSITORY}$")
ROW = re.compile(rf'(?m)^(\| `image\.repository` \| string \| `"){REPOSITORY}("` \|)')
"""The same in the README's table, which is generated from the values."""
OWNER = re.compile(r"\bOWNER\b")
OWNER_IN_PATH = re.compile(r"(?<=ghcr\.io/)OWNER\b")
"""Registries accept small letters only."""


class NotPublishable(Exception):
    """The chart is not as this script expects it; the text says what is missing."""


def main() -> int:
    """Write the copy and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--owner", required=True, help="the owner of the repository")
    parser.add_argument("--image", required=True, help="the image, without its tag")
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet")
    options = parser.parse_args()
    try:
        write(options.folder, options.owner, options.image)
    except (NotPublishable, FileExistsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def write(folder: Path, owner: str, image: str) -> None:
    """Copy the chart into a new folder, and name owner and image in it.

    Raises:
        NotPublishable: A place for the image was not found.
        FileExistsError: The folder exists.
    """
    texts = {
        name: publishable(name, (CHART / name).read_text(), owner, image)
        for name in TEXTS
    }
    shutil.copytree(CHART, folder)
    for name, text in texts.items():
        (folder / name).write_text(text)


def publishable(name: str, text: str, owner: str, image: str) -> str:
    """Return the text of one of the files with owner and image.

    Raises:
        NotPublishable: A place for the image was not found.
    """
    text = OWNER_IN_PATH.sub(owner.lower(), text)
    text = OWNER.sub(owner, text)
    places = {"values.yaml": VALUE, "README.md": ROW}
    if name not in places:
        return text
    text, count = places[name].subn(
        lambda found: found[1] + image + "".join(found.groups()[1:]), text
    )
    if count != 1:
        raise NotPublishable(
            f"{name} of the chart has {count} places for the image instead of one"
        )
    return text


if __name__ == "__main__":
    sys.exit(main())
