@echo off && setlocal
set DummyIP=192.168.251.136
set Default=LogBlock
if not "%1"=="install" if not "%1"=="uninstall" (
goto :usage
)
SET action=%1
SET policy=
SET skip=false
SHIFT
:install_args
IF NOT "%1"=="" (
  IF "%1"=="-policy" (
    SET policy=%2
    SHIFT
  )
  IF "%1"=="-skip" (
    SET skip=true
  )
  SHIFT
  GOTO :install_args
)
if "%action%" == "install"       goto :install
netsh ipsec static delete policy name=%Default%
:usage
echo script install^|uninstall [-skip] [-policy ^<policy^>]
goto :eof

:install
call:CreateAction
if "%skip%" == "false" call:CreatePolicy %policy%
goto :eof

:CreateAction
setlocal
  set name=%~1
  if "%name%" == "" set name=%Default%
  netsh ipsec static add filteraction name=%name% action=block
endlocal
goto :eof

:CreatePolicy
setlocal
  set policy=%~1
  if "%policy%" == "" set policy=%Default%
  netsh ipsec static add policy name=%policy% assign=yes activatedefaultrule=no
  netsh ipsec static add filter filterlist=%policy% srcaddr=%DummyIP% dstaddr=me
  netsh ipsec static add rule name=%policy%-rule policy=%policy% filterlist=%policy% filteraction=%Default%
  netsh ipsec static delete filter filterlist=%policy% srcaddr=%DummyIP% dstaddr=Me
endlocal
goto :eof
