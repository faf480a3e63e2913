"""How fast ipsecfd is, beside what people use today: `sudo make bench`.

Everything runs in network namespaces of the lab and is compared within one run only: machines are
noisy, ratios are not. Contestants take turns, so that a slow minute hits them all.
"""
