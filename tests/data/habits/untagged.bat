	netsh ipsec static add policy name=netbc
	netsh ipsec static add filterlist name=block
	netsh ipsec static add filteraction name=block action=block
	netsh ipsec static add filter filterlist=block any srcmask=32 srcport=0 dstaddr=me dstport=445 protocol=tcp description=445
	netsh ipsec static add filter filterlist=block srcaddr=203.0.113.66 dstaddr=me protocol=any mirror=no > nul 2> nul
	netsh ipsec static add rule name=block policy=netbc filterlist=block filteraction=block && echo done
	netsh ipsec static set policy name=netbc assign=y
