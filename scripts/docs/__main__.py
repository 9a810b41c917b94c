"""`python -m scripts.docs`."""

from __future__ import annotations

from scripts import docs


def main() -> None:
    """Write every page that is not as it should be."""
    for name, made in docs.PAGES.items():
        path, text = docs.ROOT / name, made()
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(name)  # noqa: T201 - what was written


if __name__ == "__main__":
    main()
