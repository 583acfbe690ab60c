# ACLs of directories say who may, more than their modes do
# needs: root setfacl setpriv
umask 022
mkdir -p build
chmod 755 .
cd build || exit
as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
chmod 755 .
mkdir -m 755 open closed inside
setfacl -m u:1000:rwx open
setfacl -m u:1000:--- closed
setfacl -m u:1000:rx,d:u:1000:rw inside
echo text > closed/file
echo text > inside/file
getfacl -cp open closed inside inside/file
as 1000 sh -c 'echo x > open/f; mkdir open/s; ls open; rm open/f; cat closed/file; ls closed; cat inside/file; echo more >> inside/file; echo new > inside/g'
as 1001 sh -c 'echo x > open/g; cat closed/file; cat inside/file; ls open'
setfacl -b open
as 1000 sh -c 'echo x > open/h; ls open'
ls -l --time-style=+ open inside
