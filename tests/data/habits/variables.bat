@echo off
:: Cleanup: netsh ipsec static delete policy name=Blocked
setlocal
set "IPS=192.0.2.1 192.0.2.5"
set "RANGES=192.168.10.0-192.168.10.255"
set "DOMAINS=ONE.EXAMPLE TWO.EXAMPLE"
set "EMPTY="
set "NAME=Blocked"
netsh ipsec static add policy name=%NAME% description=%NAME%
netsh ipsec static set policy name=%NAME% assign=yes
netsh ipsec static add filteraction name=%NAME%Action action=block
if not "%IPS%"=="" (
    for %%I in (%IPS%) do (
        netsh ipsec static add filter filterlist=%NAME%List srcaddr=me dstaddr=%%I protocol=tcp description="Block IP %%I"
    )
)
if not "%RANGES%"=="" (
    for %%R in (%RANGES%) do netsh ipsec static add filter filterlist=%NAME%List srcaddr=me dstaddr=%%R
)
if not "%DOMAINS%"=="" (
    for %%D in (%DOMAINS%) do (
        netsh ipsec static add filter filterlist=%NAME%List srcaddr=me dstaddr=%%D protocol=tcp
    )
)
if not "%EMPTY%"=="" netsh ipsec static add policy name=never
netsh ipsec static add rule name=Rule policy=%NAME% filterlist=%NAME%List filteraction=%NAME%Action
endlocal
@echo Done.
