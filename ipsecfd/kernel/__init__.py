"""Everything that is Linux: NFQUEUE, nftables rules, addresses and routes."""
