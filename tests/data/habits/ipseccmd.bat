@echo off
ipseccmd -w reg -p None -y
set list=
FOR /f "skip=1 delims= " %%i IN (addresses.txt) DO call set list=%%list%% %%i
ipseccmd -w reg -p Safe:1 -r filterlist -f %list% -n BLOCK -x >nul
ipseccmd –w REG –p "Safe" –r "Block TCP/135" –f *+0:135:TCP –n BLOCK
ipseccmd -w REG -p Safe -r "disable ping" -f *=0::icmp -n BLOCK
ipseccmd  -w REG -p "Safe" -r "one host" -f 0/255.255.255.255=198.51.100.7/255.255.255.255:: -n BLOCK
ipseccmd -p "Safe" -r "Block TCP/136" -f *=0:136:TCP -n BLOCK -x
gpupdate >nul
