package agent

import "testing"

func TestEtcdAccount(t *testing.T) {
	const users, groups = "root:x:0:0::/root:/bin/sh\n", "root:x:0:\n"
	for name, row := range map[string]struct {
		passwd, group string
		want          Account
	}{
		"nobody has it":                {users, groups, Account{2379, 2379}},
		"the user is there":            {users + "etcd:x:112:118::/var/lib/etcd:/bin/false\n", groups + "etcd:x:118:\n", Account{112, 118}},
		"the user is in another group": {users + "etcd:x:112:100::/:/bin/false\n", groups, Account{112, 100}},
		"only the group is there":      {users, groups + "etcd:x:118:\n", Account{2379, 118}},
		"only our group is there":      {users, groups + "etcd:x:2379:\n", Account{2379, 2379}},
		"the numbers are taken":        {users + "a:x:2379:100::/:/bin/sh\n", groups + "b:x:2380:\n", Account{2381, 2381}},
		"damaged lines":                {users + "etcd\netcd:x:y:z\n:\n", "etcd:x\n\netcd:x:-\n", Account{2379, 2379}},
		"no files":                     {"", "", Account{2379, 2379}},
	} {
		if got := etcdAccount(row.passwd, row.group); got != row.want {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
}
