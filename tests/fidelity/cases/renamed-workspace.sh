#custom the workspace, and one above it, is renamed by a command in it
mkdir -p above/ws; cp velo.toml above/ws; cd above/ws
$RUN bash -c 'mkdir build; echo x > build/x; mv ../../above ../../other; echo y > build/y; ls build; cat build/x
  mkdir build/z; echo q > build/z/q; cat build/z/q; mv ../ws ../ws2; ls build; rm build/x; echo more >> build/y; cat build/y'
cd "$HERE"; find other | sort; rm other/ws2/velo.toml
