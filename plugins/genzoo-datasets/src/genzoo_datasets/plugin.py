"""What this distribution declares. Imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_datasets() -> list[Component]:
    return [
        Component(
            "dataset",
            "fashion-mnist",
            "genzoo_datasets.fashion_mnist:FashionMnist",
            "genzoo_datasets.options:FetchedOptions",
            summary="70,000 pictures of clothes, 28×28 and grey, ten classes; fetched once (31 MB)",
            paper="Xiao, Rasul and Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747",
            api="1.0",
        ),
        Component(
            "dataset",
            "kmnist",
            "genzoo_datasets.kmnist:Kmnist",
            "genzoo_datasets.options:FetchedOptions",
            summary="70,000 cursive Japanese characters, 28×28 and grey, ten classes; fetched once (21 MB)",
            paper="Clanuwat et al. 2018, Deep learning for classical Japanese literature, arXiv:1812.01718",
            api="1.0",
        ),
        Component(
            "dataset",
            "cifar10",
            "genzoo_datasets.cifar10:Cifar10",
            "genzoo_datasets.options:FetchedOptions",
            summary="60,000 photographs of animals and vehicles, 32×32 and in colour, ten classes; fetched once (170 MB)",
            paper="Krizhevsky 2009, Learning multiple layers of features from tiny images",
            api="1.0",
        ),
        Component(
            "dataset",
            "celeba",
            "genzoo_datasets.celeba:Celeba",
            "genzoo_datasets.options:CelebaOptions",
            summary="182,732 faces, 64×64 and in colour, forty attributes; fetched once (1.4 GB) and decoded once (2.2 GB)",
            paper="Liu, Luo, Wang and Tang 2015, Deep learning face attributes in the wild, ICCV",
            api="1.0",
        ),
        Component(
            "dataset",
            "digits",
            "genzoo_datasets.digits:Digits",
            "genzoo_datasets.options:DigitsOptions",
            summary="1,797 handwritten digits, 8×8 with 17 grey levels, ten classes; comes with scikit-learn",
            paper="Alpaydin and Kaynak 1998, Optical recognition of handwritten digits, UCI repository",
            api="1.0",
        ),
        Component(
            "dataset",
            "image-folder",
            "genzoo_datasets.image_folder:ImageFolder",
            "genzoo_datasets.options:ImageFolderOptions",
            summary="Your own images: a folder or archive of image files, one class a sub-folder",
            api="1.0",
        ),
        Component(
            "dataset",
            "npz",
            "genzoo_datasets.npz:Npz",
            "genzoo_datasets.options:NpzOptions",
            summary="Your own images: an .npz file of arrays, with optional labels and factors",
            api="1.0",
        ),
    ]
