#!/bin/busybox sh
# First process of the test machine: a small workload over loopback, recorded, and the bundle out through the second
# serial port. Lines that start with GUEST: are for whoever booted it.
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
ip link set lo up
echo "hindsight kernel test page" > /www/index.html
httpd -p 127.0.0.1:8080 -h /www

echo "GUEST: kernel $(uname -r)"
record --check
echo "GUEST: check ended with $?"
record -o /bundle.zst --ring 1MiB 2> /log &
recorder=$!
waited=0
while ! grep -q "recording into" /log && kill -0 $recorder && [ $waited -lt 300 ]; do
  sleep 1
  waited=$((waited + 1))
done
for request in 0 1 2 3 4 5 6 7 8 9; do
  wget -q -O /dev/null "http://127.0.0.1:8080/index.html?request=$request"
done
# Something to sample.
turn=0
while [ $turn -lt 200000 ]; do turn=$((turn + 1)); done
sleep 1
kill $recorder
wait $recorder
echo "GUEST: record ended with $?"
cat /log
stty raw < /dev/ttyS1
base64 /bundle.zst > /dev/ttyS1
echo "end" > /dev/ttyS1
echo "GUEST: done"
sleep 1
poweroff -f
