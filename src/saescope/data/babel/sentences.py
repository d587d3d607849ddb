"""Sentence templates of babel's stories.

A template is words and slots (`$name`, see `grammar.py`); `word/x` gives a word its labels: n noun, N plural noun, v verb,
t e f verb of the present, past, future, a adjective, r adverb, o pronoun, d determiner, p preposition,
c conjunction; `_s` and `_o` behind a slot are subject and object.
"""

NAMED = """$A $vt the $n_o $adv .
$A $vt $aadj $n_o and $vt the $n_o $place .
$A $vt the $adj $n_o $link the $n_ .
$A $adv $vt $B_o and the $adj $n_o .
$A $vi $link the $adj $n_ .
$A $vi $place , but $B_s $vi $adv near the $n_ .
$A $can not $inf_t the $n_o without $aadj $n_ .
$A $wants to $inf_t the $adj $n_o before the $n_s $vi .
$A and $B_s $vtp the $ns_o together/r .
$A and $B_s $vip $adv $link the $ns_ .
$A $vt $detp $adj $ns_o for $B_ .
$A $vt $dets $adj $n_o from the $n_ .
$A $vt $his $n_o and $vi .
$A $vt $himself beside the $n_ and $vi $adv .
$A $thinks of the $adj $ns_ $place and $vi .
$A $not $inf_t the $n_o , so $B_s $vt $aadj $n_o .
$A $vt either the $n_o or the $adj $n_o .
$A $vt neither $his $n_o nor the $ns_o .
$A $vt both the $n_o and $his $adj $n_o .
$A $has $an_o and $detp $ns_o .
$A $has $aadj $n_o and $an_o $link the $n_ .
$A $be too $adj to $inf_t the $n_o .
$A $be so $adj that/c $he_s $vt the $n_o .
$A $be as/r $adj as $an_ , and $B_s $knows it/o .
$A $vi while $B_s $vt the $adj $n_o .
$A $vi when the $n_s $vi , for/c the $n_s $be $adj .
$A $vi with $feel_ and $vt $detp $ns_o .
$A $vt the $n_o because/c the $c_s $be $adj .
$A $vt the $n_o although $he_s $not $inf_t the $adj $n_o .
$A $begins to $inf_t the $ns_o with $aadj $n_ .
$A $begins to $inf_i $adv when $B_s $vt the $n_o .
$A $has no $n_o , only $aadj $c_o and $feel_o .
$A $tells $B_o about the $adj $n_ and the $ns_ .
$A $tells $him_o that/c the $n_s $be $adj .
$A $tells $his $c_o how to $inf_t $dets $n_o .
$A $gives $B_o $aadj $n_o $time .
$A $gives the $n_o to $B_ $adv .
$A $vt not only the $n_o but also the $adj $n_o .
$A $vt the $n_o , then $vt the $n_o , and $vi $place .
$A $turns into/p the $c_ and $vt $aadj $n_o $place .
$A $looks at the $n_ and $vi $place .
$A $looks for $his $adj $n_ $link the $n_ .
$A $looks like/p $an_ $link the $adj $ns_ .
$A never $vt the $n_o without $feel_ .
$A $vt every $n_o that/c $B_s $vt .
$A $vt the $n_o that/c the $n_s $vt $adv .
$A $vt the $n_o of $B_ and $vi .
$A $feels $feel_o when $he_s $vt the $n_o .
$A $feels $adj , and $his $n_s $vi $adv .
$A $hopes that/c the $n_s $be still $adj ."""
"""Sentences of a named hero; the same ones with a pronoun for the name follow a sentence that named them."""

UNNAMED = """the $n_s $vi $place and the $ns_s $vip $adv .
the $adj $n_s $vt $detp $ns_o .
$detp $adj $ns_s $vip $link the $n_ .
$dets $n_s $be $adj , but the $ns_s $bes $adj .
there/r $be $aadj $n_s $link the $c_ .
there/r $bes $detp $ns_s $place , $adj and $adj .
nobody $knows why the $n_s $vi $time .
the $n_s $vt the $adj $n_o and $vi .
the $ns_s of the $n_ $bes $adj and the $n_s $be $adj .
everyone $vt the $n_o , for/c the $n_s $be $adj .
$aadj $c_s $vt $dets $n_o $link the $ns_ .
$feel_s $vi among/p the $adj $ns_ $place .
it $be $adj $place , and the $n_s $vi .
it $be the $n_s that/c the $n_s $vt $adv .
the $n_s $be more/r $adj than the $n_ .
all/d the $ns_s $vip when the $n_s $vi .
neither the $n_s nor the $adj $n_s $vi .
either the $n_s or the $n_s $vi $link the $c_ .
the $adj $c_s and the $n_s $vip $adv .
behind/p the $n_ $be $aadj $n_s , and beside/p it $be $aadj $n_s ."""
GUESTS = """the $n_s $be as/r $adj as a/d $g_ .
$A $thinks of the $g_ and $vt $aadj $n_o .
$A $vt the $n_o like/p $his $adj $g_ .
the $g_s $vi near/p the $n_ and the $adj $ns_ .
there/r $be a/d $g_s among/p the $ns_ , and $A_s $vt the $n_o ."""
"""Sentences with one word of another topic."""
OPENINGS = """there/r $be $aadj $c_s called/v $A_ who/o $vt $detp $ns_o .
$A and $B_s $vtp the $adj $n_o $place .
$A $vt $aadj $n_o $place .
nobody $vt the $n_o until/c $A_s $vt $aadj $n_o .
it $be a/d story/n about the $adj $n_ and about $A_ , who/o $vi $link the $n_ .
the $adj $n_s $be older/a than/p $A_ and $his $c_ .
$A $has $aadj $n_o , and $his $c_s $has $detp $ns_o ."""
PREFIXES = """$time , |$place , |$turn , |$adv , |$turn , |but/c |and/c $time , |then/r |$turn , $time , """

SPEECH = """I $did_t the $n_o $link the $n_
I will/f $fut_t the $adj $n_o
we will/f $fut_t $detp $ns_o tomorrow/r
you will/f never $fut_t $dets $n_o
the $n_s will/f $fut_i $place
the $n_s is/t $adj and the $ns_s are/t $adj
I $now_t $dets $adj $n_o
we $now_t the $ns_o and you $now_t the $n_o
I can/t not $inf_t the $n_o without $feel_
my $c_s $did_t $aadj $n_o
our $ns_s $did_i $adv
you must/t $inf_t the $adj $n_o before/c the $n_s $past_i
this/d $n_s was/e never so $adj
there/r are/t $detp $adj $ns_s $place
there/r was/e $aadj $n_s $link the $n_
I have/t $an_o , but you have/t $detp $ns_o
if/c you $now_t the $n_o , I will/f $fut_t the $n_o
when/c the $n_s $past_i , I $did_t $aadj $n_o
$B_s $did_t the $n_o and $did_i $adv
$B_s will/f $fut_t my $adj $n_o
nobody will/f $fut_t the $ns_o without you
it is/t only $an_
it was/e the $n_s that/c $B_s $did_t
the $c_s and I $now_t the $adj $n_o
I hope/t that/c the $n_s will/f $fut_i
let/v us $inf_t the $n_o and $inf_t the $n_o
I $did_t both the $n_o and the $adj $c_o
what/d $aadj $n_ this/o is/t"""
QUESTIONS = """did/e you $inf_t the $adj $n_o
will/f you $fut_t the $n_o with me
where/r is/t the $adj $n_s
where/r are/t my $ns_s
who/o $did_t the $n_o $place
why/r do/t we $inf_t the $ns_o
can/t you $inf_t $dets $n_o $link the $n_
what/o is/t $link the $n_
how/r will/f $B_s $fut_t the $adj $n_o
is/t the $n_s $adj or $adj"""
TAILS = """$say $A_s .
$say $A_s $adv .
$A_s $say $place .
$say $A_s to $B_ .
$say $A_s and $vt the $n_o .
$say the $adj $c_s .
$say $A_s with $feel_ ."""
HEADS = """$A $say ,
$A $say $adv ,
$A $vt the $n_o and $say ,
$A $vi and $say to $B_ ,
$A $adv $say ,
the $adj $c_s $say to $B_ ,"""
ASKING = """$ask $A_s .
$ask $A_s $adv .
$ask the $adj $c_s .
$A_s $ask $place .
$ask $A_s and $vt the $n_o ."""
QUOTING = """$A $reads aloud/r from the $n_ :
$B_s $say from the $n_ :
on/p the $n_ somebody/o $writes :
$A $vt the $n_o and $say $adv :
the $adj $c_s $say to $A_ :"""
"""Before words of another kind (mixed documents)."""
