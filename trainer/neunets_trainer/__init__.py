"""The trainer: networks of the IR as torch modules, trained on one device. The only package that imports torch."""
