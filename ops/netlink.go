package ops

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// The few netlink messages that undoing a cluster's network takes. Speaking them ourselves works on hosts that have neither ip nor nft nor ipvsadm.

func (h *host) DeleteLink(name string) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return unix.ENOENT
	}
	var body bytes.Buffer // struct ifinfomsg
	put32 := func(v uint32) { _ = binary.Write(&body, binary.NativeEndian, v) }
	put32(0)
	put32(uint32(i.Index))
	put32(0)
	put32(0)
	_, err = netlink(unix.NETLINK_ROUTE, message{kind: unix.RTM_DELLINK, flags: unix.NLM_F_ACK, body: body.Bytes()})
	return err
}

// Kinds lists what kinds of virtual links there are (linux/if_link.h: IFLA_LINKINFO and in it IFLA_INFO_KIND).
func (h *host) Kinds() ([]string, error) {
	answers, err := netlink(unix.NETLINK_ROUTE, message{kind: unix.RTM_GETLINK, flags: unix.NLM_F_DUMP, body: make([]byte, unix.SizeofIfInfomsg)})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range answers {
		if len(a) < unix.SizeofIfInfomsg {
			continue
		}
		if info, ok := attribute(a[unix.SizeofIfInfomsg:], unix.IFLA_LINKINFO); ok {
			if kind, ok := attribute(info, unix.IFLA_INFO_KIND); ok {
				out = append(out, string(bytes.TrimRight(kind, "\x00")))
			}
		}
	}
	return out, nil
}

var nftFamilies = map[byte]string{1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

func (h *host) Tables() ([]string, error) {
	answers, err := nftDump(nftGetTable, 0)
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // a kernel without nftables
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range answers {
		if len(a) < 4 {
			continue
		}
		if name, ok := attribute(a[4:], nftTableName); ok {
			out = append(out, nftFamilies[a[0]]+" "+string(bytes.TrimRight(name, "\x00")))
		}
	}
	return out, nil
}

func (h *host) DeleteTable(table string) error { return nftDelete(table, nftDelTable, 0, nil) }

// nftDelete deletes a table, or something in it.
func nftDelete(table string, kind, flags uint16, what []byte) error {
	for number, family := range nftFamilies {
		if name, ok := bytes.CutPrefix([]byte(table), []byte(family+" ")); ok {
			body := append([]byte{number, 0, 0, 0}, newAttribute(nftTableName, append(name, 0))...)
			_, err := netlink(unix.NETLINK_NETFILTER,
				message{kind: nftBatchBegin, body: []byte{0, 0, 0, 10}},
				message{kind: kind, flags: flags | unix.NLM_F_ACK, body: append(body, what...)},
				message{kind: nftBatchEnd, body: []byte{0, 0, 0, 10}})
			return err
		}
	}
	return fmt.Errorf("%q is not a table of nftables", table)
}

// FlushIPVS removes every virtual service, by generic netlink (linux/genetlink.h, linux/ip_vs.h).
func (h *host) FlushIPVS() error {
	const getFamily, familyID, familyName, flush = 3, 1, 2, 17
	ask := append([]byte{getFamily, 1, 0, 0}, newAttribute(familyName, []byte("IPVS\x00"))...)
	answers, err := netlink(unix.NETLINK_GENERIC, message{kind: unix.GENL_ID_CTRL, flags: unix.NLM_F_ACK, body: ask})
	if err != nil {
		return err
	}
	for _, a := range answers {
		if len(a) < 4 {
			continue
		}
		if id, ok := attribute(a[4:], familyID); ok && len(id) >= 2 {
			_, err := netlink(unix.NETLINK_GENERIC, message{kind: binary.NativeEndian.Uint16(id), flags: unix.NLM_F_ACK, body: []byte{flush, 1, 0, 0}})
			return err
		}
	}
	return errors.New("the kernel has no ipvs")
}

type message struct {
	kind, flags uint16
	body        []byte
}

// netlink sends messages at once and collects the answers until the kernel says that there are no more, or that it has done what was asked.
func netlink(protocol int, messages ...message) ([][]byte, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for i, m := range messages {
		header := unix.NlMsghdr{
			Len: uint32(unix.SizeofNlMsghdr + len(m.body)), Type: m.kind, Flags: m.flags | unix.NLM_F_REQUEST, Seq: uint32(i + 1),
		}
		_ = binary.Write(&out, binary.NativeEndian, header)
		out.Write(m.body)
		out.Write(make([]byte, -len(m.body)&3))
	}
	if err := unix.Sendto(fd, out.Bytes(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var answers [][]byte
	var changed error // what is listed changed meanwhile: the list may have gaps
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for rest := buffer[:n]; len(rest) >= unix.SizeofNlMsghdr; {
			size := int(binary.NativeEndian.Uint32(rest))
			if size < unix.SizeofNlMsghdr || size > len(rest) {
				return nil, errors.New("the kernel's answer is cut off")
			}
			body := rest[unix.SizeofNlMsghdr:size]
			if binary.NativeEndian.Uint16(rest[6:])&unix.NLM_F_DUMP_INTR != 0 {
				changed = unix.EINTR
			}
			switch binary.NativeEndian.Uint16(rest[4:]) {
			case unix.NLMSG_DONE:
				return answers, changed
			case unix.NLMSG_ERROR:
				if len(body) < 4 {
					return nil, errors.New("the kernel's answer is cut off")
				}
				if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
					return nil, unix.Errno(-code)
				}
				return answers, nil
			default:
				answers = append(answers, bytes.Clone(body))
			}
			rest = rest[min(len(rest), (size+3)&^3):]
		}
	}
}

func newAttribute(kind uint16, value []byte) []byte {
	var out bytes.Buffer
	_ = binary.Write(&out, binary.NativeEndian, [2]uint16{uint16(4 + len(value)), kind})
	out.Write(value)
	out.Write(make([]byte, -len(value)&3))
	return out.Bytes()
}

func attribute(data []byte, kind uint16) ([]byte, bool) {
	for len(data) >= 4 {
		size := int(binary.NativeEndian.Uint16(data))
		if size < 4 || size > len(data) {
			return nil, false
		}
		if binary.NativeEndian.Uint16(data[2:])&0x3fff == kind {
			return data[4:size], true
		}
		data = data[min(len(data), (size+3)&^3):]
	}
	return nil, false
}

func syscallError(_, _ uintptr, errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
