REM =================开始================
netsh ipsec static ^
delete policy name=Server
netsh ipsec static ^
add policy name=Server
netsh ipsec static ^
add filteraction name=Perm action=permit
netsh ipsec static ^
add filteraction name=Block action=block
netsh ipsec static ^
add filter filterlist=All srcaddr=Me dstaddr=Any
netsh ipsec static ^
add rule name=BlockAll policy=Server filterlist=All filteraction=Block
netsh ipsec static ^
add filter filterlist=Web srcaddr=Any dstaddr=Me dstport=80 protocol=TCP
netsh ipsec static ^
	add rule name=AllowWeb policy=Server filterlist=Web filteraction=Permit
