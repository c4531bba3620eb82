"""The words of opt-outs and of carriers' refusals, as data: each with its source, and counter-examples at the end.

Words are written in lower case; accents, punctuation and white space are no part of them (`domain/words.py`).
"""

_FCC = "FCC 24-24, 47 CFR 64.1200(a)(10)"
_CTIA = "CTIA, Messaging Principles"
_TWILIO = "Twilio, default opt-out keywords"
_AWS = "AWS End User Messaging, required opt-out keywords"
_CWTA = "CWTA, Canadian short codes: ARRET"
_FRENCH, _SPANISH, _GERMAN = "French word for it", "Spanish word for it", "German word for it"
_OTHERS = "word for it in the language of the recipient"
_REPORTED = "reported pattern"
_MISSPELT = "misspelling; it is no other word"

# An opt-out, whichever words of `COURTESIES`, `OF_MESSAGES` and `MESSAGES` surround it.
PLAIN = {
    "stop": _FCC,
    "stop all": _TWILIO,
    "stopall": _TWILIO,
    "unsubscribe": _FCC,
    "opt out": _FCC,
    "optout": _FCC,
    "opt me out": _FCC,
    "opting out": _FCC,
    "opted out": _REPORTED,
    "unsub": _REPORTED,
    "un subscribe": _REPORTED,
    "unenroll": _REPORTED,
    "cease": _REPORTED,
    "desist": _REPORTED,
    "no stop": _REPORTED,
    "no more": _REPORTED,
    "no texts": _REPORTED,
    "no messages": _REPORTED,
    "no sms": _REPORTED,
    "dont text": _REPORTED,
    "do not text": _REPORTED,
    "never text": _REPORTED,
    "dont message": _REPORTED,
    "do not message": _REPORTED,
    "dont contact": _REPORTED,
    "do not contact": _REPORTED,
    "never contact": _REPORTED,
    "remove me": _CTIA,
    "delete me": _REPORTED,
    "take me off": _CTIA,
    "get me off": _REPORTED,
    "remove my number": _REPORTED,
    "delete my number": _REPORTED,
    "lose my number": _REPORTED,
    "leave me alone": _REPORTED,
    "go away": _REPORTED,
    "fuck off": _REPORTED,
    "piss off": _REPORTED,
    "not interested stop": _REPORTED,
    "no thanks stop": _REPORTED,
    "no thank you stop": _REPORTED,
    "no please stop": _REPORTED,
    "stpo": _MISSPELT,
    "sotp": _MISSPELT,
    "tsop": _MISSPELT,
    "sttop": _MISSPELT,
    "sstop": _MISSPELT,
    "stopo": _MISSPELT,
    "stp": _MISSPELT,
    "stoped": _MISSPELT,
    "stopp": _GERMAN,
    "stoppen": _GERMAN,
    "abmelden": _GERMAN,
    "abmeldung": _GERMAN,
    "abbestellen": _GERMAN,
    "abbestellung": _GERMAN,
    "austragen": _GERMAN,
    "aufhoren": _GERMAN,
    "aufhoeren": _GERMAN,
    "hor auf": _GERMAN,
    "horen sie auf": _GERMAN,
    "keine nachrichten": _GERMAN,
    "keine weiteren nachrichten": _GERMAN,
    "keine sms": _GERMAN,
    "keine werbung": _GERMAN,
    "arret": _CWTA,
    "arrete": _FRENCH,
    "arretez": _FRENCH,
    "arreter": _FRENCH,
    "stopper": _FRENCH,
    "stoppez": _FRENCH,
    "desabonner": _FRENCH,
    "desabonnez": _FRENCH,
    "desabonne": _FRENCH,
    "desabonnement": _FRENCH,
    "desinscrire": _FRENCH,
    "desinscrivez": _FRENCH,
    "desinscription": _FRENCH,
    "ne plus recevoir": _FRENCH,
    "plus de messages": _FRENCH,
    "plus de message": _FRENCH,
    "plus de sms": _FRENCH,
    "alto": _SPANISH,
    "parar": _SPANISH,
    "pare": _SPANISH,
    "paren": _SPANISH,
    "basta": _SPANISH,
    "baja": _SPANISH,
    "darme de baja": _SPANISH,
    "darse de baja": _SPANISH,
    "dar de baja": _SPANISH,
    "dame de baja": _SPANISH,
    "denme de baja": _SPANISH,
    "no mas": _SPANISH,
    "no quiero mas": _SPANISH,
    "no quiero recibir": _SPANISH,
    "no deseo recibir": _SPANISH,
    "no recibir": _SPANISH,
    "no enviar": _SPANISH,
    "no envien": _SPANISH,
    "no envie": _SPANISH,
    "no manden": _SPANISH,
    "no mande": _SPANISH,
    "no me envien": _SPANISH,
    "no me envie": _SPANISH,
    "no me manden": _SPANISH,
    "no me escriban": _SPANISH,
    "dejen de": _SPANISH,
    "deje de": _SPANISH,
    "deja de": _SPANISH,
    "dejar de": _SPANISH,
    "detener": _SPANISH,
    "detenga": _SPANISH,
    "detengan": _SPANISH,
    "detenganse": _SPANISH,
    "desuscribir": _SPANISH,
    "desuscribirme": _SPANISH,
    "parem": _OTHERS,
    "descadastrar": _OTHERS,
    "sair": _OTHERS,
    "disiscrivimi": _OTHERS,
    "fermare": _OTHERS,
    "fermate": _OTHERS,
    "afmelden": _OTHERS,
    "uitschrijven": _OTHERS,
    "avregistrera": _OTHERS,
    "wypisz": _OTHERS,
    "ret": _OTHERS,
    "dur": _OTHERS,
    "durdur": _OTHERS,
    "mesaj atmayin": _OTHERS,
    "mesaj istemiyorum": _OTHERS,
    "стоп": _OTHERS,
    "отписаться": _OTHERS,
    "отписка": _OTHERS,
    "退订": _OTHERS,
    "退訂": _OTHERS,
    "停止": _OTHERS,
    "配信停止": _OTHERS,
    "수신거부": _OTHERS,
    "توقف": _OTHERS,
    "إيقاف": _OTHERS,
    "הסר": _OTHERS,
    "stahp": _REPORTED,
    "enough already": _REPORTED,
    "afmeld": _OTHERS,
    "avslutt": _OTHERS,
    "fichez moi la paix": _OTHERS,
    "прекратите": _OTHERS,
    "хватит": _OTHERS,
    "отпишите меня": _OTHERS,
    "стоп пожалуйста": _OTHERS,
    "не пишите мне больше": _OTHERS,
    "停": _OTHERS,
    "请不要再给我发短信了": _OTHERS,
    "もう送らないでください": _OTHERS,
    "중지": _OTHERS,
    "dừng": _OTHERS,
    "توقف رجاء": _OTHERS,
    "رجاء توقف": _OTHERS,
    "لا ترسلوا لي رسائل بعد الآن": _OTHERS,
    "להסיר": _OTHERS,
    "stop aub": _OTHERS,
    "take my number off": _REPORTED,
    "get my number off": _REPORTED,
    "take this number off": _REPORTED,
    "not interested remove": _REPORTED,
    "dont want to receive": _REPORTED,
    "do not want to receive": _REPORTED,
    "dont wish to receive": _REPORTED,
    "do not wish to receive": _REPORTED,
    "no longer wish to receive": _REPORTED,
    "no longer want to receive": _REPORTED,
    "ne plus me contacter": _FRENCH,
    "ne me contactez plus": _FRENCH,
    "laissez moi tranquille": _FRENCH,
    "laisse moi tranquille": _FRENCH,
    "hort auf": _GERMAN,
    "schluss": _GERMAN,
    "nicht mehr schreiben": _GERMAN,
    "schreiben sie mir nicht mehr": _GERMAN,
    "lasst mich in ruhe": _GERMAN,
    "lass mich in ruhe": _GERMAN,
    "lassen sie mich in ruhe": _GERMAN,
    "loschen sie meine nummer": _GERMAN,
    "meine nummer loschen": _GERMAN,
    "no molestar": _SPANISH,
    "no molesten": _SPANISH,
    "no moleste": _SPANISH,
    "borrar mi numero": _SPANISH,
    "borren mi numero": _SPANISH,
    "borre mi numero": _SPANISH,
    "eliminar mi numero": _SPANISH,
    "quitame": _SPANISH,
    "quitenme": _SPANISH,
    "quiteme": _SPANISH,
    "remover": _OTHERS,
    "chega": _OTHERS,
    "quero sair": _OTHERS,
    "sair da lista": _OTHERS,
    "cancelar inscricao": _OTHERS,
    "nao quero": _OTHERS,
    "nao enviar": _OTHERS,
    "nao envie": _OTHERS,
    "nao enviem": _OTHERS,
    "nao mande": _OTHERS,
    "nao mandem": _OTHERS,
    "nao me mande": _OTHERS,
    "nao me mandem": _OTHERS,
    "nao me envie": _OTHERS,
    "nao me enviem": _OTHERS,
    "pare de": _OTHERS,
    "parem de": _OTHERS,
    "me tire": _OTHERS,
    "me tirem": _OTHERS,
    "disiscrivi": _OTHERS,
    "smettetela": _OTHERS,
    "smettila": _OTHERS,
    "smettete": _OTHERS,
    "non scrivetemi": _OTHERS,
    "non scrivermi": _OTHERS,
    "non inviatemi": _OTHERS,
    "stoppa": _OTHERS,
    "avsluta": _OTHERS,
    "sluta": _OTHERS,
    "rezygnuję": _OTHERS,
    "nie pisz": _OTHERS,
    "не пишите": _OTHERS,
    "не пишите мне": _OTHERS,
    "取消订阅": _OTHERS,
    "取消訂閱": _OTHERS,
    "拒收": _OTHERS,
    "停止してください": _OTHERS,
    "配信停止してください": _OTHERS,
    "やめて": _OTHERS,
    "やめてください": _OTHERS,
    "解除": _OTHERS,
    "그만": _OTHERS,
    "रोकें": _OTHERS,
    "बंद करो": _OTHERS,
    "हटाओ": _OTHERS,
    "berhenti": _OTHERS,
    "hủy": _OTHERS,
    "διακοπή": _OTHERS,
    "lopeta": _OTHERS,
}

# Also the words of an appointment or an order: only `COURTESIES` may surround them, or a word of `MESSAGES` is among
# their surroundings.
OF_ORDERS_TOO = {
    "cancel": _FCC,
    "end": _FCC,
    "quit": _FCC,
    "revoke": _FCC,
    "revoked": _FCC,
    "i revoke": _FCC,
    "i quit": _FCC,
    "remove": _AWS,
    "td": _AWS,
    "withdraw": _REPORTED,
    "discontinue": _REPORTED,
    "terminate": _REPORTED,
    "exit": _REPORTED,
    "delete": _REPORTED,
    "dont send": _REPORTED,
    "do not send": _REPORTED,
    "dont want": _REPORTED,
    "do not want": _REPORTED,
    "do not wish": _REPORTED,
    "no longer want": _REPORTED,
    "no longer wish": _REPORTED,
    "cancle": _MISSPELT,
    "cancell": _MISSPELT,
    "cansel": _MISSPELT,
    "ende": _GERMAN,
    "beenden": _GERMAN,
    "kundigen": _GERMAN,
    "widerruf": _GERMAN,
    "widerrufen": _GERMAN,
    "loschen": _GERMAN,
    "fin": _FRENCH,
    "annuler": _FRENCH,
    "annulez": _FRENCH,
    "resilier": _FRENCH,
    "supprimer": _FRENCH,
    "supprimez": _FRENCH,
    "retirez": _FRENCH,
    "para": _SPANISH,
    "no quiero": _SPANISH,
    "quitar": _SPANISH,
    "cancelar": _SPANISH,
    "cancela": _SPANISH,
    "cancele": _SPANISH,
    "cancelen": _SPANISH,
    "terminar": _SPANISH,
    "salir": _SPANISH,
    "anular": _SPANISH,
    "eliminar": _SPANISH,
    "iptal": _OTHERS,
    "annulla": _OTHERS,
    "cancella": _OTHERS,
    "取消": _OTHERS,
    "الغاء": _OTHERS,
}

# Patterns of requests that count wherever they stand in a sentence, unless they are denied.
REQUESTS = (
    r"unsubscribe|opt (?:me )?out(?! of| from)|un subscribe (?:me|please)|remove me|leave (?:me|us) alone|no texting",
    r"(?:do not|dont|never) (?:ever )?(?:text|txt|message|msg|contact|sms|spam|bother) (?:me|us|this|my|him|her|them)",
    r"(?:no more|no mas|keine weiteren) (?:texts?|txts|messages?|sms|mensajes|nachrichten)",
    r"no further (?:texts?|messages?|sms|contact|communications?)",
    r"(?:do not|dont|never|not|stop) send (?:me |us |him |her )?(?:anything|any ?more|any|again)(?! \w+ (?:of|for))",
    r"(?:rather not|not to|dont want to|do not want to) (?:receive|get) (?:any|anything|these|those|them|more|anymore)",
    r"(?:wish|want|ask|asked|like|need) to be (?:removed|taken off|unsubscribed)",
    r"(?:remove|delete|erase|take) (?:me|my|this|her|his)(?: \w+){0,3} (?:from|off) (?:your|the|all) (?:data|sys)\w+",
    r"(?:remove|delete|erase) (?:my|this|our|his|her)(?: \w+){0,2} (?:number|data|contact)",
    r"(?:asked|telling|tell|told|begged|ask) (?:you|u|yall|them)(?: \w+){0,3} to stop|(?<!never )said stop",
    r"stop it(?! (?:at|by|from))|(?:withdraw|revoke) (?:my |all |any )?consent",
    r"dont you dare (?:text|message|contact)|dont want (?:these|those|any of these) (?:texts |messages )?anymore",
    r"nicht mehr (?:an)?(?:schreiben|kontaktieren)|losche?n? (?:sie )?(?:bitte )?meine (?:nummer|daten)",
    r"keine (?:\w+ )?(?:nachrichten|sms|werbung) mehr|(?:nehmen sie|nimm) mich (?:aus|von) (?:der|eurer|ihrer) liste",
    r"ne (?:veux|souhaite|desire) plus recevoir (?:de |des |vos |ces |aucun )?(?:messages?|sms|textos?|pub)",
    r"(?:quit|borr|elimin|saqu)[a-z]* (?:mi numero|(?:me )?de (?:la|su|tu|esta) lista)|dejenme en paz|para ya",
    r"dej[a-z]+ de (?:molestar|escribir|enviar|mandar)[a-z]*|ne plus menvoyer",
    r"nao (?:quero|desejo) (?:mais )?receber|pare[m]? de (?:me )?(?:mandar|enviar)|tire[m]? (?:me )?da lista",
    r"non (?:inviate|mandate|scrivete|inviarmi|mandarmi|scrivermi)[a-z]*|disiscriv[a-z]+|basta con|cancellami",
    r"geen (?:berichten|sms|smsen) meer|stop met|nie (?:wysy|pisz)[a-z\u0142]*|mesaj (?:atmayin|istemiyorum)",
    r"(?:desabonn|desinscri)[a-z]+|(?:darme|darse|denme|dame) de baja|abbestellen|abmelden",
)

# Words that change nothing: politeness, haste and anger.
COURTESIES = """
    all already asap forever hello hey hi immediately it just kindly me now ok okay permanently please pleas plese
    pls plz right sir team thank thanks thx the this ty you bitte danke merci svp stp sil vous plait por favor
    gracias bonjour hola hallo ffs omg wtf damn fuck fucking fuckin hell
"""
# Other words of a request about messages.
OF_MESSAGES = """
    2 4 a again also am an and another answer any anymore anything as automated be been because bc bothering calling
    can cell contact contacted contacting completely could do emailing emails every everything for from further
    future fw fwd get getting harassing have help how i id im info interested ive keep like longer lots mobile more
    my name need of on once or our person phone pinging re receive receiving reply replying respond response request
    said say send sending so some someone spamming such text texted texing textin texting that their them these they
    those to told messaged scam scamming scammer scammers spammer spammers idiot idiots asshole assholes tried txt
    txting txtin type u unsolicited unwanted ur us want wanted we wish with word would wrong yeah yes your yall
    messaging messeging msging bugging annoying sent stopping ne nenvoyez menvoie de des les la le los las el ces ce
    vos mes mis sus mi tous tout todo todos estos esos je veux voudrais souhaite voulez moi mon plus pour maintenant
    immediatement recevoir envoyer envoyez envoi men menvoyer menvoyez repondez au se sur mas quiero deseo recibir
    enviar enviarme envien mandar mandarme escribirme ya ahora responda responde envie un una sie ich mich mir
    mochte will wollen sofort jetzt alle mehr diese keine die der das von zu senden schicken mit aus um sich
    is are was has had mandar mande mandem enviar envie receber mais mensagem mensagens minha meu piu messaggi
    messaggio grazie obrigado auf schreiben
"""
# What a request about messages names.
MESSAGES = """
    text texts txt txts sms mms spam message messages mesages messeges msg msgs list lists number notification
    notifications alert alerts reminder reminders update updates promo promos promotion promotions promotional ad
    ads advertising marketing offers newsletter newsletters subscription subscriptions conversation chat thread
    consent permission authorization contacting messaging texting anything junk mensaje mensajes texto textos
    publicidad propaganda suscripcion lista numero liste abonnement pub publicite nachricht nachrichten werbung
    nummer
"""
# In front of these, any one word may describe them ("stop your annoying texts").
PLURALS = """
    texts txts sms spam messages msgs notifications alerts reminders updates promos promotions ads newsletters
    mensajes nachrichten
"""
# After an opt-out word, these begin a sentence of their own ("Stop who is this").
BEGINNINGS = """
    i u im ive id ill who whos we were you youre not no never dont wrong sorry because bc nobody this thats its hes
    shes he she my today tonight
"""
# In front of it, "stop" is a place or a thing ("the next stop").
PLACES = """
    a an the my your our one first second next last nearest only bus train tram metro subway truck rest pit full short
    tour every any which what that another each no non door emergency final gas photo whistle quick coffee lunch food
    bathroom not
"""
# "Don't stop", "if I stop", "why did you stop": what follows is no request, if only `LINKS` are between.
DENIALS = """
    not dont never cant cannot wont didnt doesnt isnt if when why without ill accidentally unless nor hardly
"""
LINKS = """
    a able actually are did do does ever even going gonna have i intend it just me mean meant need or plan please
    really said say seem should text the they to try trying u wanna want we will wish would you
"""
# A text with one of these is about an order or an appointment, unless its sentence is a request about messages.
ORDERS = """
    appointment appointments appt appts booking bookings reservation reservations order orders ordered delivery
    deliveries package parcel shipment shipping visit meeting membership plan service table room flight trip ride
    policy contract payment payments refund repair pickup session class lesson cita citas pedido pedidos reserva
    entrega envio commande livraison rendez rdv termin bestellung lieferung
"""
# Carriers' and aggregators' codes of a recipient who has opted out.
REFUSAL_CODES = {
    "21610": "Twilio, error 21610",
    "40300": "Telnyx, error 40300",
    "4770": "Bandwidth, error 4770",
    "4775": "Bandwidth, error 4775",
}

COUNTER_EXAMPLES = {
    "cancel my appointment": "about an order",
    "Please cancel my order": "about an order",
    "stop the delivery": "about an order",
    "Stop by the store": "another sense of the word",
    "Can you stop by at 5?": "another sense of the word",
    "Don't stop": "the opposite",
    "nonstop": "another word",
    "Liked \u201cReply STOP to opt out\u201d": "a reaction that quotes us",
    "Loved an image": "a reaction",
    "End of message": "another sense of the word",
    "STOP START": "both; a person must ask",
    "no": "an answer to a question",
}
