"""Try cranalyze on other kernels: each boots in an emulator, and judges every fixture there.

    python -m scripts.kernels                        # or: make kernels
    python -m scripts.kernels 6.12 6.12:aarch64 --only fork-file

`image` packs this Python (or one of another architecture, from Debian) and this tree into an
initial RAM file system, `debian` gets kernels,
`machine` boots them, `guest` is what runs inside, `page` writes docs/kernels.md.
"""
