:: Blocks an address that an intrusion detection system names
@ECHO OFF
ECHO.
FOR /F "TOKENS=1* DELIMS= " %%A IN ('DATE/T') DO SET DATE=%%B
ECHO %DATE% %TIME% %0 %1 %2 %3 >> active-responses.log
IF "%1"=="add" GOTO ADD
IF "%1"=="delete" GOTO DEL
:ERROR
ECHO "Invalid argument. %1"
GOTO Exit;
:ADD
netsh ipsec static add policy description="block list"
netsh ipsec static add filter filterlist="responses" srcaddr=%3 dstaddr=me protocol=tcp mirrored=yes
netsh ipsec static set policy assign=y
GOTO Exit;
:DEL
netsh ipsec static delete filter filterlist="responses" srcaddr=%3 dstaddr=me protocol=tcp mirrored=yes
:Exit
