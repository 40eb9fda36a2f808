// Package images has the program move images between bundles, archives and real registries on loopback. It needs a bundle and no hosts.
package images
