module github.com/redis-ha/redis-ha/tools/nodeimage/pause

go 1.26.0
