#custom
# natively: new
# hosted: no file
cat > outside.py <<'P'
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
open("pid.new", "w").write(f"{os.getpid()}\n"); os.rename("pid.new", "pid")
signal.sigwaitinfo([signal.SIGUSR1])
said = open("build/f").read() if os.path.exists("build/f") else "no file\n"
open("answer.new", "w").write(said); os.rename("answer.new", "answer")
P
python3 outside.py & until [ -e pid ]; do sleep 0.02; done
$RUN sh -c 'echo new > build/f; kill -USR1 "$(cat pid)"; until [ -e answer ]; do sleep 0.02; done; cat answer'
wait
