cd build; printf 'all: a b c\n%%: %%.in\n\t@cp $< $@; echo made $@\n' > Makefile; for i in a b c; do echo $i > $i.in; done; make; make; touch a.in; make; make -j4 -B | sort
