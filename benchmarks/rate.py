"""Bits per dimension of test images, all of a set in one archive: -ELBO, net and total, by model and refinement steps.

    python benchmarks/rate.py [--mnist FILE] [--cifar-10 FILE] [--sets binary grey colour] [--refine-steps 0,5,10]
        [--singles 100]

-ELBO is the exact model's, estimated with many posterior samples an image; it is defined for K = 0. `net` is what the
symbols cost, latents popped subtracted (what the paper reports); `total` is the whole file: names, hashes, index and
the stack's own overhead included. Where an archive stores some images, as they are shorter so, `chain` says what all of
them cost as one chain, net. Single images are files of the small form, by this model, and by whichever `bbc` chooses.
"""

import numpy as np
from common import arguments, cases, chain_of, compressed, write_results

from bbcompress.archive.compress import Options, compress_single
from bbcompress.codec.elbo import negative_elbo_bits_per_dim
from bbcompress.codec.registry import Registry


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--refine-steps", default="0,5,10")
    parser.add_argument("--samples", type=int, default=10, help="posterior samples an image for -ELBO")
    parser.add_argument("--singles", type=int, default=100, help="images compressed one by one")
    options = parser.parse_args()
    registry = Registry()
    rows: list[dict[str, object]] = []
    for _, images, named, path in cases(options, registry):
        model = registry.load(path).sized(*images.shape[1:3])
        elbo = negative_elbo_bits_per_dim(model, images.reshape(len(images), -1), options.samples)
        chained = [picture for _, picture in named]
        singles = {
            key: np.mean([len(compress_single(picture, registry, way)[0]) for _, picture in named[: options.singles]])
            for key, way in (("", Options(model=path)), ("_chosen", Options()))
        }
        for steps in (int(part) for part in options.refine_steps.split(",")):
            _, summary = compressed(named, registry, path, steps)
            stored, chain = summary.methods.get("stored", 0), summary.net_bits_per_dim
            if stored:
                chain = float(chain_of(chained, registry.load(path), steps).net_bits.sum()) / images.size
            rows.append(
                {
                    "model": path.stem,
                    "K": steps,
                    "images": len(named),
                    "stored": stored,
                    "negative_elbo_K0": elbo,
                    "chain_net_bits_per_dim": chain,
                    "net_bits_per_dim": summary.net_bits_per_dim,
                    "total_bits_per_dim": summary.total_bits_per_dim,
                    "total_over_elbo": summary.total_bits_per_dim / elbo,
                }
                | {f"mean_single_file_bytes{key}": float(mean) for key, mean in singles.items()}
            )
    write_results("rate", options.output, rows, "net: symbols only; total: whole file, names and checks included")


if __name__ == "__main__":
    main()
