package convert

import "strings"

// profiles turns annotations about seccomp and AppArmor into fields, of the pod or of its containers.
func (p podWork) profiles() {
	const pod, container, apparmor = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/", "container.apparmor.security.beta.kubernetes.io/"
	for _, name := range keys(sub(p.meta, "annotations")) {
		field, target, owner := "seccompProfile", object(nil), ""
		switch {
		case name == pod:
			target = p.spec
		case strings.HasPrefix(name, container):
			owner = name[len(container):]
		case strings.HasPrefix(name, apparmor):
			field, owner = "appArmorProfile", name[len(apparmor):]
		default:
			continue
		}
		in := p.field("metadata.annotations[" + name + "]")
		for _, l := range []string{"initContainers", "containers"} {
			each(list(p.spec, l), func(_ int, c object) {
				if owner != "" && str(c, "name") == owner {
					target = c
				}
			})
		}
		value, _ := takeAnnotation(p.meta, name)
		profile := profileOf(value)
		switch {
		case target == nil:
			p.refuse(in, "there is no container "+owner)
		case profile == nil:
			p.refuse(in, value+" is not a profile")
		case sub(target, "securityContext", field) != nil && short(sub(target, "securityContext", field)) != short(profile):
			p.refuse(in, "it says "+short(profile)+", and securityContext."+field+" "+short(sub(target, "securityContext", field))+"; keep one of them")
		default:
			ensure(target, "securityContext")[field] = profile
			why := "the annotation is not read any more"
			if field == "appArmorProfile" {
				why = "the field took its place in 1.30"
			}
			p.note(p.spec, Changed, in, "-> securityContext."+field+": "+short(profile), why)
		}
	}
}

func profileOf(s string) object {
	switch {
	case s == "runtime/default" || s == "docker/default":
		return object{"type": "RuntimeDefault"}
	case s == "unconfined":
		return object{"type": "Unconfined"}
	case strings.HasPrefix(s, "localhost/"):
		return object{"type": "Localhost", "localhostProfile": strings.TrimPrefix(s, "localhost/")}
	}
	return nil
}
