package ops

import (
	"os"
	"strings"
	"testing"
)

const fstab = "# /etc/fstab: static\r\nUUID=1 / ext4 errors=remount-ro 0 1\n\n/dev/sda2\tnone  swap\tsw,pri=5 0 0\n#/dev/sda3 none swap sw 0 0\nserver:/x /mnt nfs defaults 0 0\n/swap.img none swap"

func fstabSpecimens() []specimen {
	return []specimen{
		{name: "entries of fstab", wish: Fstab{Type: "swap", Off: true}, with: file(fstabPath, fstab, 0o640)},
		{name: "an entry of fstab, from Windows", wish: Fstab{Type: "swap", Off: true}, with: file(fstabPath, "/swap none swap sw 0 0\r\n", 0o644)},
	}
}

func TestFstab(t *testing.T) {
	w := newWorld(t)
	wish := Fstab{Type: "swap", Off: true}
	if seen := observe(t, w, wish); !Equal(wish, seen) {
		t.Errorf("without a file it is %+v", seen)
	}
	w.write(t, fstabPath, fstab, 0o644)
	first := observe(t, w, wish)
	if Text(first) != "/dev/sda2 none swap sw,pri=5 0 0\n/swap.img none swap\n" {
		t.Errorf("its text is %q", Text(first))
	}
	if err := set(t, w, wish); err != nil {
		t.Fatal(err)
	}
	now, _ := os.ReadFile(w.Path(fstabPath))
	want := strings.NewReplacer("/dev/sda2", turnedOff+"/dev/sda2", "/swap.img", turnedOff+"/swap.img").Replace(fstab)
	if string(now) != want {
		t.Errorf("off, it is\n%s", now)
	}
	// Its owner removes one, and adds another that is to swap again.
	later := strings.Replace(string(now), turnedOff+"/dev/sda2\tnone  swap\tsw,pri=5 0 0\n", "/dev/sdb none swap sw 0 0\n", 1)
	w.write(t, fstabPath, later, 0o644)
	if Equal(wish, observe(t, w, wish)) {
		t.Error("an entry that came later is not seen")
	}
	if err := undo(t, w, first, wish); err != nil {
		t.Fatal(err)
	}
	if !Equal(first, observe(t, w, wish)) {
		t.Error("undone, it is not as it was first")
	}
	want = strings.Replace(fstab, "/dev/sda2\tnone  swap\tsw,pri=5 0 0", "/dev/sdb none swap sw 0 0", 1)
	if now, _ := os.ReadFile(w.Path(fstabPath)); string(now) != want {
		t.Errorf("undone, it is\n%s", now)
	}
}
