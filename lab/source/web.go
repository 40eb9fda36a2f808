package source

// What lab-web is configured with where nobody mounts something else. Both programs log to where the runtime reads, and start as root and as
// anybody else.
const (
	nginxConf = `user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log stderr;
events {
	worker_connections 256;
}
http {
	include /etc/nginx/mime.types;
	default_type application/octet-stream;
	access_log /dev/stdout;
	include /etc/nginx/conf.d/*.conf;
}
`
	nginxServer = `server {
	listen 80;
	root /usr/share/nginx/html;
	index index.php index.html;
	location ~ \.php$ {
		include /etc/nginx/fastcgi.conf;
		fastcgi_pass 127.0.0.1:9000;
	}
}
`
	fpmConf = `[global]
daemonize = no
error_log = /proc/self/fd/2
[www]
user = www-data
group = www-data
listen = 127.0.0.1:9000
pm = static
pm.max_children = 2
clear_env = no
catch_workers_output = yes
`
)
