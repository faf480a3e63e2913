@echo off
sc config "PolicyAgent" start= auto
sc start PolicyAgent

Netsh ipsec static del rule all base_config
Netsh ipsec static del policy all
Netsh ipsec static del filteraction all
Netsh ipsec static del filterlist all

Netsh ipsec static add policy name=base_config activatedefaultrule = no
Netsh ipsec static add filteraction name=block action=block
Netsh ipsec static add filteraction name=permit action=permit
Netsh ipsec static add filterlist name=permitlist
Netsh ipsec static add filter filterlist=permitlist srcaddr=any dstaddr=me protocol=tcp mirrored=yes dstport=80 对外服务端口
Netsh ipsec static add filter filterlist=permitlist srcaddr=203.0.113.66 srcmask=32 dstaddr=me dstmask=32 protocol=any mirrored=yes dstport=0 VPN-IP
Netsh ipsec static add filter filterlist=permitlist srcaddr=198.51.100.7 srcmask=255.255.255.255 srcport=123 dstaddr=me dstport=123 protocol=UDP mirrored=yes NTP时间同步，不要删除
Netsh ipsec static add filter filterlist=alllist srcaddr=any dstaddr=me protocol=any mirrored=yes dstport=0 最后默认阻止其它所有
Netsh ipsec static add rule name=1 policy=base_config filterlist=permitlist filteraction=permit
Netsh ipsec static add rule name=2 policy=base_config filterlist=alllist filteraction=block
netsh ipsec static set policy name=base_config assign=y
