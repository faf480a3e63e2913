echo 创建安全策略
Netsh IPsec static add policy name = 远程策略
Netsh IPsec static add filteraction name = 拒绝 action = block
Netsh IPsec static add filteraction name = 放行 action = permit
Netsh IPsec static add filterlist name = 管理终端
Netsh IPsec static add filter filterlist = 管理终端 srcaddr = 203.0.113.66 dstaddr = me dstport = 3389 description = 部门一 protocol = TCP mirrored = yes
Netsh ipsec static add filter filterlist = 管理终端 Srcaddr = 198.51.100.0 srcmask=255.255.255.0 dstaddr = 192.0.2.10 dstport = 0 description = 部门二 protocol =any mirrored = yes
Netsh ipsec static add rule name = 终端规则 Policy = 远程策略 filterlist = 管理终端 filteraction = 放行
netsh ipsec static set policy name = 远程策略 assign = y
pause
