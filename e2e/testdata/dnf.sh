# Makes a Debian host one of dnf's: apt is put aside, and rpm has a database, a release, a repository that is signed, and packages that somebody installed.
set -euo pipefail
mkdir /root/dnf
cd /root/dnf
dpkg-query -W -f '${Package}\n' | sort > debian
cp -P /etc/os-release os-release
apt-get -q update
apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io install createrepo-c dnf dnf-plugins-core rpm
mv /usr/bin/apt-get apt-get
rm /etc/os-release
printf 'ID=rocky\nID_LIKE="rhel fedora"\nVERSION_ID="9.4"\nPRETTY_NAME="a host of dnf"\nPLATFORM_ID="platform:el9"\n' > /etc/os-release

# What differs between Debian's and Red Hat's: where the database is, what a repository that does not answer means, and a plugin that others do not have.
mkdir -p /etc/rpm /etc/yum.repos.d
echo '%_dbpath /var/lib/rpm' > /etc/rpm/macros
printf '[main]\ngpgcheck=1\ninstallonly_limit=3\nclean_requirements_on_remove=True\nbest=True\nskip_if_unavailable=False\n' > /etc/dnf/dnf.conf
echo '[main]
enabled = false' > /etc/dnf/plugins/local.conf

# package NAME VERSION ARCH FIELDS < the rest of its specification
package() {
	printf 'Name: %s\nVersion: %s\nRelease: 1\nSummary: a sample\nLicense: none\n%s\n%%description\na sample\n' "$1" "$2" "$4" > spec
	cat >> spec
	rpmbuild -bb --quiet --target "$3" --define '_topdir /root/dnf/build' --define '_rpmdir /root/dnf/repo' --define '_binary_payload w0.ufdio' \
		--define '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' spec > log 2>&1 || { cat log; exit 1; }
}
package redhat-release 9.4 noarch 'Provides: /bin/sh, system-release, system-release(releasever) = 9' <<< '%files'
for v in 1 2; do
	package sample-kernel $v noarch 'Provides: installonlypkg(kernel)' <<< "%install
mkdir -p %{buildroot}/usr/lib/sample-kernel/$v
%files
/usr/lib/sample-kernel/$v"
	package sample $v.0 noarch 'Epoch: 1
Requires: sample-libs' <<< "%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc
echo $v.0 > %{buildroot}/usr/bin/sample
echo 'from $v.0' > %{buildroot}/etc/sample.conf
%post
getent group sample > /dev/null || groupadd -r sample
mkdir -p /etc/sample.d
echo $v.0 > /etc/sample.d/made
%files
/usr/bin/sample
%config /etc/sample.conf"
	for arch in i686 x86_64; do
		package theirs $v.0 $arch '' <<< "%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc
echo $v.0 > %{buildroot}/usr/bin/theirs
echo 'from $v.0' > %{buildroot}/etc/theirs.conf
%files
/usr/bin/theirs
%config /etc/theirs.conf"
	done
	package twice $v noarch '' <<< "%install
mkdir -p %{buildroot}/usr/share/twice
echo $v > %{buildroot}/usr/share/twice/twice
%post
while test -e /root/dnf/hang; do sleep 0.1; done
echo $v > /etc/twice.made
%files
/usr/share/twice"
done
package sample-libs 1 x86_64 '' <<< '%install
mkdir -p "%{buildroot}/usr/lib/sample"
touch "%{buildroot}/usr/lib/sample/a library"
%files
/usr/lib/sample'
package sample-module 1 noarch 'Requires: sample-kernel = 2' <<< '%files'
package big 1 noarch '' <<< '%install
mkdir -p %{buildroot}/usr/share/big/parts
for i in 1 2 3 4 5 6; do head -c 20000000 /dev/zero > %{buildroot}/usr/share/big/parts/$i; done
%files
/usr/share/big'
package slow 1 noarch '' <<< '%post
sleep 4
%files'

gpg --batch --quiet --passphrase '' --quick-gen-key lab rsa2048 sign never 2> log
gpg --armor --export lab > key
mkdir base
mv repo/redhat-release-* base
rpmsign --define '_gpg_name lab' --define '__gpg /usr/bin/gpg' --addsign repo/*.rpm > log 2>&1
gpgconf --kill all
createrepo_c --quiet repo
printf '[lab]\nname=lab\nbaseurl=file:///root/dnf/repo\ngpgkey=file:///root/dnf/key\n' > /etc/yum.repos.d/lab.repo

rpm -i --quiet base/*.rpm repo/sample-kernel-1-*.rpm
rpm -i --quiet --nosignature repo/theirs-1.0-1.x86_64.rpm repo/twice-1-*.rpm
echo mine > /etc/theirs.conf
printf '# mine\nredhat-release-0:9.4-1.*\n' > /etc/dnf/plugins/versionlock.list
dnf -q makecache
